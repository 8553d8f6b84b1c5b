#![no_main]
//! waveform: foreign bytes never panic and always end.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_events::rules::spectrum::fuzz(data));
