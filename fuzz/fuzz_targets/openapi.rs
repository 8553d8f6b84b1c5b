#![no_main]
//! openapi: a document that describes an API, whatever it holds, never panics.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_contract::openapi::fuzz(data));
