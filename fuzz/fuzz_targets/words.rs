#![no_main]
//! words: times, durations, calendars, units, addresses: what people write in a few words.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_contract::fuzz::words(data));
