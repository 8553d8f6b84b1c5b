//! What a simulated disk keeps and loses.

use super::*;
use crate::disk::{Disk, File};

fn disk() -> (SimDisk, Disk) {
    let simulated = SimDisk::new();
    let disk = Disk::Simulated(simulated.process());
    disk.make_dir(Path::new("/data/log")).unwrap();
    (simulated, disk)
}

/// The same disk for the next process.
fn next(simulated: &SimDisk) -> Disk {
    Disk::Simulated(simulated.process())
}

fn write(disk: &Disk, path: &str, bytes: &[u8]) -> File {
    let file = disk.open(Path::new(path), Mode::Anew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn read(disk: &Disk, path: &str) -> Option<Vec<u8>> {
    disk.read(Path::new(path), u64::MAX).ok()
}

#[test]
fn bytes_are_durable_once_they_are_synced_and_names_once_their_folder_is() {
    let mut seen = [0; 4];
    for seed in 0..64 {
        let (simulated, disk) = disk();
        let kept = write(&disk, "/data/kept", b"kept");
        kept.sync_data().unwrap();
        disk.sync_dir(Path::new("/data")).unwrap();
        kept.write_all_at(b"gone", 4).unwrap();
        write(&disk, "/data/unnamed", b"named?").sync_all().unwrap();
        let (torn, expected) = (write(&disk, "/data/log/torn", &[7; 2_000]), vec![7; 2_000]);
        disk.sync_dir(Path::new("/data/log")).unwrap();
        assert_eq!(read(&disk, "/data/kept").unwrap(), b"keptgone", "it is seen at once");
        simulated.power_cut(seed);
        assert!(torn.sync_data().is_err() && read(&disk, "/data/kept").is_none(), "the handles are dead");
        let disk = next(&simulated);
        assert!(read(&disk, "/data/kept").unwrap().starts_with(b"kept"));
        let unnamed = read(&disk, "/data/unnamed");
        assert!(unnamed.as_ref().is_none_or(|bytes| bytes == b"named?"));
        let found = read(&disk, "/data/log/torn").unwrap();
        seen[0] += u32::from(unnamed.is_some());
        seen[1] += u32::from(found == expected);
        seen[2] += u32::from(found.is_empty());
        seen[3] += u32::from(found != expected && found.contains(&7));
    }
    assert!(seen.iter().all(|times| *times > 3), "{seen:?}");
}

#[test]
fn a_kill_keeps_what_was_written() {
    let (simulated, disk) = disk();
    let file = write(&disk, "/data/a", b"written");
    simulated.kill();
    assert!(file.write_all_at(b"x", 0).is_err());
    assert_eq!(read(&next(&simulated), "/data/a").unwrap(), b"written");
}

#[test]
fn each_name_is_done_or_undone_by_itself() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let (simulated, disk) = disk();
        for name in ["/data/old", "/data/going"] {
            write(&disk, name, b"old").sync_all().unwrap();
        }
        disk.sync_dir(Path::new("/data")).unwrap();
        write(&disk, "/data/new", b"new").sync_all().unwrap();
        disk.unlink(Path::new("/data/going")).unwrap();
        let Disk::Simulated(process) = &disk else { unreachable!("it is simulated") };
        process.rename(Path::new("/data/new"), Path::new("/data/old")).unwrap();
        simulated.power_cut(seed);
        let disk = next(&simulated);
        let old = read(&disk, "/data/old").unwrap();
        assert!(old == b"old" || old == b"new");
        seen.insert((old, read(&disk, "/data/new").is_some(), read(&disk, "/data/going").is_some()));
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn what_lies_in_a_folder_that_is_lost_is_lost() {
    let mut lost = 0;
    for seed in 0..32 {
        let (simulated, disk) = disk();
        let Disk::Simulated(process) = &disk else { unreachable!("it is simulated") };
        process.make_folder(Path::new("/data/day")).unwrap();
        write(&disk, "/data/day/a", b"a").sync_all().unwrap();
        disk.sync_dir(Path::new("/data/day")).unwrap();
        simulated.power_cut(seed);
        lost += u32::from(read(&next(&simulated), "/data/day/a").is_none());
    }
    assert!((8..24).contains(&lost), "{lost}");
}

#[test]
fn a_failed_sync_loses_what_it_was_to_keep_and_later_ones_do_not_tell() {
    let (mut lost, mut hidden) = (0, 0);
    for seed in 0..64 {
        let (simulated, disk) = disk();
        let file = write(&disk, "/data/log/a", b"12");
        disk.sync_dir(Path::new("/data/log")).unwrap();
        simulated.plan(0, Trouble::Error(seed));
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let seen = read(&disk, "/data/log/a").unwrap();
        simulated.power_cut(seed);
        let left = read(&next(&simulated), "/data/log/a").unwrap();
        lost += u32::from(left != b"12");
        hidden += u32::from(left != seen);
    }
    assert!(lost > 8 && hidden > 4, "{lost} {hidden}");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (simulated, disk) = disk();
    let file = write(&disk, "/data/a", b"1234");
    file.take_room(8).unwrap();
    simulated.set_capacity(Some(simulated.used_bytes() + 3));
    file.write_all_at(b"5678", 4).unwrap();
    let full = file.write_all_at(b"90abcdef", 8).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(read(&disk, "/data/a").unwrap(), b"1234567890a");
    disk.unlink(Path::new("/data/a")).unwrap();
    drop(file);
    disk.sync_dir(Path::new("/data")).unwrap();
    write(&disk, "/data/b", b"1234567890");
}

#[test]
fn names_are_as_in_any_folder() {
    let (_, disk) = disk();
    let open = |path: &str, mode| disk.open(Path::new(path), mode).map(drop).map_err(|error| error.kind());
    assert_eq!(open("/data/none", Mode::Read), Err(io::ErrorKind::NotFound));
    assert_eq!(open("/data/none/a", Mode::Anew), Err(io::ErrorKind::NotFound));
    assert_eq!(open("/data/log", Mode::Read), Err(io::ErrorKind::IsADirectory));
    assert_eq!(open("/data/a", Mode::New), Ok(()));
    assert_eq!(open("/data/a", Mode::New), Err(io::ErrorKind::AlreadyExists));
    write(&disk, "/data/log/b", b"");
    assert_eq!(disk.list(Path::new("/data")).unwrap(), ["a", "log"]);
    let full = disk.remove_empty_dir(Path::new("/data/log")).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::DirectoryNotEmpty);
    disk.unlink(Path::new("/data/log/b")).unwrap();
    disk.remove_empty_dir(Path::new("/data/log")).unwrap();
    assert!(!disk.exists(Path::new("/data/log")));
}
