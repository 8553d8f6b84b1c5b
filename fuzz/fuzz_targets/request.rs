#![no_main]
//! request: a request of the API is answered.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_node::fuzz::request(data));
