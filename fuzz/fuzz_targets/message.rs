#![no_main]
//! message: a message of a broker becomes samples, or is set aside.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::message(data));
