#![no_main]
//! listener_packets: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::listener_packets(data));
