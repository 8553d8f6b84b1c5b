#![no_main]
//! rule_state: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_events::fuzz(data));
