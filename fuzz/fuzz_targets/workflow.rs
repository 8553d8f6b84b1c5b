#![no_main]
//! workflow: a workflow is refused, or its run goes on by the rules.

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_workflows::fuzz_definition(data));
