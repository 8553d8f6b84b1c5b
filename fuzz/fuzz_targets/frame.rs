#![no_main]
//! frame: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_store::fuzz(data));
