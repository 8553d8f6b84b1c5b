#![no_main]
//! certificate: a certificate names its owner, or nobody.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::certificate(data));
