#![no_main]
//! servers: what servers before a system say: tokens, proxies, redirects, certificates.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_systems::fuzz_around(data));
