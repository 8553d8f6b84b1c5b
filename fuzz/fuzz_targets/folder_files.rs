#![no_main]
//! folder_files: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_store::fuzz_folder(data));
