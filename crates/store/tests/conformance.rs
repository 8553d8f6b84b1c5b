//! The suite of behaviours against every provider.

use andon_store::{Limits, SimDisk, Store, conformance};

fn chance(bytes: &mut [u8]) {
    bytes.fill(7);
}

#[test]
fn memory() {
    conformance::suite(&|| (Store::memory(&mut chance), Box::new(())));
}

#[test]
fn embedded() {
    conformance::suite(&|| {
        let dir = tempfile::tempdir().unwrap();
        (Store::open(dir.path(), &mut chance).unwrap(), Box::new(dir))
    });
}

#[test]
fn embedded_with_small_segments_and_nothing_in_memory() {
    conformance::suite(&|| {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { segment_bytes: 16 << 10, ring_bytes: 0 };
        (Store::open_with(dir.path(), &limits, &mut chance).unwrap(), Box::new(dir))
    });
}

#[test]
fn on_a_simulated_disk() {
    for limits in [Limits::default(), Limits { segment_bytes: 16 << 10, ring_bytes: 0 }] {
        conformance::suite(&|| (Store::simulated(&SimDisk::new(), &limits, &mut chance).unwrap(), Box::new(())));
    }
}
