#![no_main]
//! systems: the answers that the operations and reads of the packaging line get, whatever they are, have an outcome.

use std::sync::LazyLock;

static CONTRACT: LazyLock<andon_contract::Contract> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/packaging-line");
    andon_contract::load(folder.as_ref()).expect("the example is accepted").contract
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| andon_systems::fuzz_project(&CONTRACT, data));
