//! What a file of states keeps and gives back, whole, cut and broken.

use super::*;
use crate::{Limits, SimDisk, Store, StoreError, Trouble, fault::Fault};
use serde_json::json;

fn row(n: u64) -> RuleStateRow {
    RuleStateRow {
        rule: Name::new(if n.is_multiple_of(3) { "hot" } else { "cold" }).unwrap(),
        asset: AssetName::new(&format!("press-{n}")).unwrap(),
        version: format!("v{}", n % 2),
        position: Position { epoch: 1, offset: n },
        state: json!({"n": n, "text": "wörter"}),
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, &mut |bytes| bytes.fill(1)).unwrap()
}

fn simulated(disk: &SimDisk) -> Store {
    Store::simulated(disk, &Limits::default(), &mut |bytes| bytes.fill(1)).unwrap()
}

/// Appends so much that the positions of the rows lie in the log.
fn filled(dir: &Path) -> Store {
    let store = open(dir);
    store.append(vec![crate::conformance::part("line-1", 1_000, 1)]).unwrap();
    store
}

/// Writes rows in slices of so many.
fn write(store: &Store, rows: &[RuleStateRow], slice: usize) -> Result<(), StoreError> {
    let from = rows.iter().map(|row| row.position).min().unwrap();
    let mut file = store.begin_states(from)?;
    for rows in rows.chunks(slice) {
        for row in rows {
            let text = row.state.to_string();
            file.put(&row.rule, &row.asset, &row.version, row.position, |to| to.extend_from_slice(text.as_bytes()));
        }
        store.add_states(&mut file)?;
    }
    store.finish_states(file)
}

#[test]
fn slices_read_back_in_their_order_whatever_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (5..105).rev().map(row).collect();
    for store in [filled(dir.path()), Store::memory(&mut |bytes| bytes.fill(1))] {
        assert_eq!(store.oldest_state().unwrap(), None);
        for slice in [1, 7, 1_000] {
            write(&store, &rows, slice).unwrap();
            assert_eq!(store.read_states().unwrap(), rows);
            assert_eq!(store.oldest_state().unwrap(), Some(Position { epoch: 1, offset: 5 }));
        }
        let kept = store.kept_states().unwrap();
        assert_eq!(kept.into_iter().map(|kept| kept.into_row().unwrap()).collect::<Vec<_>>(), rows);
    }
}

#[test]
fn one_that_is_not_finished_was_never_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    write(&store, &[row(3)], 1).unwrap();
    let mut file = store.begin_states(Position { epoch: 1, offset: 7 }).unwrap();
    file.put(&row(7).rule, &row(7).asset, "v", row(7).position, |to| to.extend_from_slice(b"7"));
    store.add_states(&mut file).unwrap();
    assert_eq!(store.read_states().unwrap(), [row(3)]);
    drop(file);
    assert_eq!(store.read_states().unwrap(), [row(3)]);
    drop(store);
    assert_eq!(open(dir.path()).read_states().unwrap(), [row(3)]);
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_states_or_the_new_ones() {
    let (old, new): (Vec<_>, Vec<_>) = ((10..30).map(row).collect(), (40..80).map(row).collect());
    let prepared = SimDisk::new();
    let store = simulated(&prepared);
    store.append(vec![crate::conformance::part("line-1", 1_000, 1)]).unwrap();
    write(&store, &old, 6).unwrap();
    drop(store);
    let crash = |seed| if seed % 4 == 0 { Trouble::Kill(seed) } else { Trouble::PowerCut(seed) };
    for trouble in [crash, Trouble::Error, Trouble::Full] {
        let mut seen = [0, 0];
        for step in 0.. {
            let mut befell = false;
            for seed in 0..12 {
                let disk = prepared.snapshot().unwrap();
                let store = simulated(&disk);
                disk.plan(step, trouble(step * 100 + seed));
                let written = write(&store, &new, 6);
                befell |= written.is_err();
                drop(store);
                disk.power_cut(seed);
                let found = simulated(&disk).read_states().unwrap();
                seen[usize::from(found == new)] += 1;
                assert!(found == old || found == new, "step {step}: {found:?}");
                assert!(written.is_err() || found == new, "step {step}");
            }
            if !befell {
                break;
            }
        }
        assert!(seen[0] >= 8 && seen[1] >= 1, "{seen:?}");
    }
}

#[test]
fn a_planned_fault_reaches_the_end_of_a_file() {
    let store = Store::memory(&mut |bytes| bytes.fill(1));
    write(&store, &[row(1)], 1).unwrap();
    store.plan_fault(0, Fault::Before);
    assert!(write(&store, &[row(2)], 1).is_err());
    assert_eq!(store.read_states().unwrap(), [row(1)]);
    store.plan_fault(0, Fault::After);
    assert!(write(&store, &[row(2)], 1).is_err());
    assert_eq!(store.read_states().unwrap(), [row(2)]);
}

#[test]
fn no_flipped_bit_and_no_lost_end_goes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    write(&store, &(0..9).map(row).collect::<Vec<_>>(), 4).unwrap();
    let path = path(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            // The version is the one thing that can become another one that is read.
            let refused = Image::of(&path, bytes).and_then(|image| image.states(&path)).is_err();
            assert!(refused, "bit {bit} of byte {at}");
        }
        assert!(Image::of(&path, bytes[..at].to_vec()).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(Image::of(&path, longer).is_err());
    let newer = [&bytes[..8], &9_u32.to_le_bytes(), &bytes[12..]].concat();
    assert!(matches!(Image::of(&path, newer), Err(StoreError::Newer { found: 9, .. })));
}
