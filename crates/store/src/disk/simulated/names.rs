//! The names in the folders: those that are seen, those that are durable, and what lies between.

use super::chance::Chance;
use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    path::{Path, PathBuf},
};

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    /// The file with this number.
    File(u64),
}

impl Entry {
    fn number(&self) -> Option<u64> {
        match self {
            Self::File(number) => Some(*number),
            Self::Folder => None,
        }
    }
}

/// What was done to names.
#[derive(Debug, Clone)]
pub(super) enum Naming {
    Made(PathBuf, Entry),
    Removed(PathBuf, Entry),
    Renamed { from: PathBuf, to: PathBuf, entry: Entry },
}

type Tree = BTreeMap<PathBuf, Entry>;

/// All names of a disk. The root is always there.
#[derive(Debug, Clone)]
pub(super) struct Names {
    now: Tree,
    durable: Tree,
    /// What is done and not durable yet, in its order.
    pending: Vec<Naming>,
}

impl Naming {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Made(path, _) | Self::Removed(path, _) | Self::Renamed { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, tree: &mut Tree) {
        let take = |tree: &mut Tree, path: &Path, entry: Entry| {
            if tree.get(path) == Some(&entry) {
                tree.remove(path);
            }
        };
        match self {
            Self::Made(path, entry) => drop(tree.insert(path.clone(), *entry)),
            Self::Removed(path, entry) => take(tree, path, *entry),
            Self::Renamed { from, to, entry } => {
                take(tree, from, *entry);
                tree.insert(to.clone(), *entry);
            }
        }
    }
}

impl Names {
    pub(super) fn new() -> Self {
        let root = Tree::from([(PathBuf::from("/"), Entry::Folder)]);
        Self { now: root.clone(), durable: root, pending: Vec::new() }
    }

    pub(super) fn get(&self, path: &Path) -> Option<Entry> {
        self.now.get(path).copied()
    }

    /// The names in a folder, in order.
    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if self.get(dir) != Some(Entry::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let below = self
            .now
            .range::<Path, _>((Bound::Included(dir), Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(dir));
        let within = below.map(|(path, _)| path).filter(|path| path.parent() == Some(dir));
        Ok(within.filter_map(|path| path.file_name()?.to_str().map(ToOwned::to_owned)).collect())
    }

    /// Whether this can be done.
    pub(super) fn check(&self, naming: &Naming) -> io::Result<()> {
        let there = |path: &Path| self.get(path).is_some();
        let (path, is_there) = match naming {
            Naming::Made(path, _) if there(path) => return Err(io::ErrorKind::AlreadyExists.into()),
            Naming::Made(path, _) => (path, true),
            Naming::Removed(path, Entry::Folder) if !self.list(path)?.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Naming::Removed(path, _) => (path, there(path)),
            Naming::Renamed { from, to, .. } => (to, there(from)),
        };
        let has_folder = path.parent().and_then(|dir| self.get(dir)) == Some(Entry::Folder);
        if is_there && has_folder { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn change(&mut self, naming: Naming) {
        naming.apply(&mut self.now);
        self.pending.push(naming);
    }

    /// The names in this folder are durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        for naming in self.pending.extract_if(.., |naming| naming.folder() == Some(dir)) {
            naming.apply(&mut self.durable);
        }
    }

    /// The power has failed: each of what was not synced is done or not, without any order among them.
    pub(super) fn lose(&mut self, chance: &mut Chance) {
        for naming in self.pending.drain(..) {
            if chance.coin() {
                naming.apply(&mut self.durable);
            }
        }
        self.now = reached(&self.durable);
        self.durable = self.now.clone();
    }

    /// Only what is durable.
    pub(super) fn kept(&self) -> Self {
        let tree = reached(&self.durable);
        Self { now: tree.clone(), durable: tree, pending: Vec::new() }
    }

    /// The files that have a name now.
    pub(super) fn named(&self) -> impl Iterator<Item = u64> {
        self.now.values().filter_map(Entry::number)
    }

    /// The files that have a name, or had one that may come back.
    pub(super) fn files(&self) -> impl Iterator<Item = u64> {
        let pending = self.pending.iter().map(|naming| match naming {
            Naming::Made(_, entry) | Naming::Removed(_, entry) | Naming::Renamed { entry, .. } => entry,
        });
        self.now.values().chain(self.durable.values()).chain(pending).filter_map(Entry::number)
    }
}

/// What can be reached from the root: what lies in a folder that is lost is lost with it.
fn reached(tree: &Tree) -> Tree {
    let mut found = Tree::new();
    // A folder stands before what lies in it.
    for (path, entry) in tree {
        let is_within = path.parent().is_none_or(|dir| found.get(dir) == Some(&Entry::Folder));
        if is_within {
            found.insert(path.clone(), *entry);
        }
    }
    found
}
