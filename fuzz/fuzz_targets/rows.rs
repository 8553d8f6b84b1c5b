#![no_main]
//! rows: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::file_rows(data));
