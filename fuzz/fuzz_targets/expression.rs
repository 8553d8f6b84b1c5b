#![no_main]
//! expression: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_contract::expr::fuzz::fuzz(data));
