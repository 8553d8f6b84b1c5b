#![no_main]
//! post: a post with its headers, keys and signature is taken once, or refused with a reason.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::post(data));
