#![no_main]
//! schema: a schema of a project and a value that is held against it.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_contract::fuzz::schema(data));
