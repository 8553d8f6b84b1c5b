#![no_main]
//! project: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_contract::fuzz::project(data));
