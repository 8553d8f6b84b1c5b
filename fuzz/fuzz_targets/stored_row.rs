#![no_main]
//! stored_row: a row that an earlier version has stored.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_node::fuzz::row(data));
