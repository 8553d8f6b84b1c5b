#![no_main]
//! adapter: what an adapter of a machine tool says becomes samples, or is set aside.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::adapter(data));
