#![no_main]
//! cloudevents: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_edge::fuzz::cloud_events(data));
