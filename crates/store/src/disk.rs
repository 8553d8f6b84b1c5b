//! What is done to files whose order matters: each step durable before the next, and a seam at which a test can crash.

use crate::{StoreError, folder};
use std::{fs::File, path::Path};

/// The disk under a data folder.
#[derive(Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    plan: std::sync::Mutex<crash::Plan>,
}

impl Disk {
    /// A step that is taken elsewhere begins here: the writing of a file, a commit of the database.
    pub(crate) fn step(&self) -> Result<(), StoreError> {
        self.tick(|_| {})
    }

    /// A file was written beside its name; until it is synced it may be lost.
    pub(crate) fn wrote(&self, path: &Path) -> Result<(), StoreError> {
        self.tick(|_| {})?;
        self.note(|plan| plan.wrote(path));
        Ok(())
    }

    /// Makes the bytes of a file durable, gives it its name and makes that durable, too.
    pub(crate) fn publish(&self, aside: &Path, path: &Path) -> Result<(), StoreError> {
        self.tick(|_| {})?;
        File::open(aside).and_then(|file| file.sync_all()).map_err(|e| StoreError::io(aside, "sync", e))?;
        self.note(|plan| plan.synced(aside));
        self.tick(|plan| plan.renaming(aside, path))?;
        std::fs::rename(aside, path).map_err(|e| StoreError::io(path, "name", e))?;
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }

    /// Removes a file; one that is not there is removed already. Durable only once its folder is synced.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.tick(|plan| plan.removing(path))?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path, "remove", error)),
            _ => Ok(()),
        }
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        self.tick(|_| {})?;
        folder::sync_dir(dir)?;
        self.note(|plan| plan.synced_dir(dir));
        Ok(())
    }

    /// Makes a folder with those above it, all durable.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<(), StoreError> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(above) = dir.parent() {
            self.make_dir(above)?;
        }
        self.tick(|_| {})?;
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io(dir, "make", error));
            }
            _ => {}
        }
        dir.parent().map_or(Ok(()), |above| self.sync_dir(above))
    }

    #[cfg(test)]
    fn tick(&self, next: impl FnOnce(&mut crash::Plan)) -> Result<(), StoreError> {
        let mut plan = self.plan.lock().unwrap();
        plan.tick()?;
        next(&mut plan);
        Ok(())
    }

    #[cfg(test)]
    fn note(&self, done: impl FnOnce(&mut crash::Plan)) {
        done(&mut self.plan.lock().unwrap());
    }

    /// Lets the step after `steps` further ones crash: it and all later ones fail. With `power`, what was not synced
    /// by then is undone, as when the machine loses power.
    #[cfg(test)]
    pub(crate) fn crash_after(&self, steps: u64, power: bool) {
        self.plan.lock().unwrap().crash_after(steps, power);
    }

    /// Whether the crash that was planned has happened.
    #[cfg(test)]
    pub(crate) fn has_crashed(&self) -> bool {
        self.plan.lock().unwrap().dead
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the seam of the tests")]
    fn tick(&self, _next: impl FnOnce(&mut Calm)) -> Result<(), StoreError> {
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the seam of the tests")]
    fn note(&self, _done: impl FnOnce(&mut Calm)) {}
}

/// Outside of tests nothing is planned, and nothing of it is ever called.
#[cfg(not(test))]
struct Calm;

#[cfg(not(test))]
#[expect(clippy::unused_self, reason = "the seam of the tests")]
impl Calm {
    fn wrote(&mut self, _path: &Path) {}
    fn synced(&mut self, _path: &Path) {}
    fn renaming(&mut self, _from: &Path, _to: &Path) {}
    fn removing(&mut self, _path: &Path) {}
    fn synced_dir(&mut self, _dir: &Path) {}
}

#[cfg(test)]
mod crash {
    use crate::StoreError;
    use std::path::{Path, PathBuf};

    /// What is not durable yet, and how it is undone.
    enum Undo {
        Written(PathBuf),
        Renamed { from: PathBuf, to: PathBuf, before: Option<Vec<u8>> },
        Removed { path: PathBuf, bytes: Vec<u8> },
    }

    #[derive(Default)]
    pub(crate) struct Plan {
        left: Option<u64>,
        power: bool,
        pub(crate) dead: bool,
        undo: Vec<Undo>,
    }

    impl Plan {
        pub(crate) fn crash_after(&mut self, steps: u64, power: bool) {
            (self.left, self.power) = (Some(steps), power);
        }

        pub(crate) fn tick(&mut self) -> Result<(), StoreError> {
            if let Some(left) = &mut self.left
                && !self.dead
            {
                if *left == 0 {
                    self.dead = true;
                    if self.power {
                        self.lose();
                    }
                } else {
                    *left -= 1;
                }
            }
            if self.dead { Err(StoreError::Stopped("a crash that was planned".into())) } else { Ok(()) }
        }

        fn lose(&mut self) {
            for undo in self.undo.drain(..).rev() {
                match undo {
                    Undo::Written(path) => {
                        if let Ok(bytes) = std::fs::read(&path) {
                            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
                        }
                    }
                    Undo::Renamed { from, to, before } => {
                        std::fs::rename(&to, &from).unwrap();
                        if let Some(bytes) = before {
                            std::fs::write(&to, bytes).unwrap();
                        }
                    }
                    Undo::Removed { path, bytes } => std::fs::write(&path, bytes).unwrap(),
                }
            }
        }

        pub(crate) fn wrote(&mut self, path: &Path) {
            self.undo.push(Undo::Written(path.to_owned()));
        }

        pub(crate) fn synced(&mut self, path: &Path) {
            self.undo.retain(|undo| !matches!(undo, Undo::Written(written) if written == path));
        }

        pub(crate) fn renaming(&mut self, from: &Path, to: &Path) {
            let before = std::fs::read(to).ok();
            self.undo.push(Undo::Renamed { from: from.to_owned(), to: to.to_owned(), before });
        }

        pub(crate) fn removing(&mut self, path: &Path) {
            if let Ok(bytes) = std::fs::read(path) {
                self.undo.push(Undo::Removed { path: path.to_owned(), bytes });
            }
        }

        pub(crate) fn synced_dir(&mut self, dir: &Path) {
            self.undo.retain(|undo| match undo {
                Undo::Written(_) => true,
                Undo::Renamed { to: path, .. } | Undo::Removed { path, .. } => path.parent() != Some(dir),
            });
        }
    }
}
