#![no_main]
//! answer: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_systems::fuzz(data));
