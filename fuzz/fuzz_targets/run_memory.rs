#![no_main]
//! run_memory: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_workflows::fuzz(data));
