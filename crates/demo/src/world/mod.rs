//! The world around Andon: the lines of the packaging example, the offices, and the clock that both live by.
//!
//! It knows nothing of Andon but two addresses, and goes on while Andon is away: machines keep what nobody takes, and
//! offices work on what they were asked for. All that a world needs to go on after its own end is in its folder: the
//! clock, the documents of the offices, and up to which time the machines were heard.

pub mod control;
mod kept;
mod outbox;

pub use outbox::{OUTBOX_MAX, Outbox};

use crate::{
    OfficeError,
    clock::StoryClock,
    line::{Chapter, Line, PLANS},
    offices::{Desk, Post, Repair},
};
use andon_model::{Time, span::Span};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What the machines said longer ago than this, in the time of the story, is not said again after a restart.
const SAYS_AGAIN: Span = Span::from_secs(6 * 3_600);

/// Why a world cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A file of its folder cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// Another world lives in the folder.
    #[error("another world has its files in {}", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The offices cannot open.
    #[error(transparent)]
    Office(#[from] OfficeError),
}

/// How a story is told that begins in an empty folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// After this much of the story it has caught up with the wall.
    pub length: Span,
    /// How many times as fast as the wall it runs until then.
    pub speed: u32,
}

/// Where Andon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Andon {
    /// Its listener for machines: `127.0.0.1:1884`.
    pub listener: String,
    /// Its API: `127.0.0.1:8730`.
    pub api: String,
}

/// How a world is found by those who look for it: a file of its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Its process.
    pub pid: u32,
    /// What only this world knows; it answers to nothing else.
    pub nonce: String,
    /// Where it is spoken to: `127.0.0.1:40001`.
    pub control: String,
    /// Where its offices are: `http://127.0.0.1:8740`.
    pub offices: String,
    /// The broker of the plant that has one, with its process; none where Mosquitto is not installed.
    pub broker: Option<Broker>,
}

/// A broker that belongs to a world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// `mqtt://127.0.0.1:1883`.
    pub address: String,
    /// Its process.
    pub pid: u32,
}

/// How a world is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stand {
    /// The same as in its file.
    pub nonce: String,
    /// The time of the story.
    pub story: Time,
    /// Where the story began.
    pub first: Time,
    /// How many times as fast as the wall it runs; 0 while it has not begun.
    pub speed: u32,
    /// The lines.
    pub lines: Vec<LineStand>,
    /// What the lab has to post and Andon has not taken.
    pub posts: usize,
}

/// How a line is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineStand {
    /// Its site.
    pub site: String,
    /// The machine that the story is about.
    pub cartoner: String,
    /// How far its story has come.
    pub chapter: Chapter,
    /// Up to which time it has spoken.
    pub at: Time,
    /// Messages that nobody has acknowledged.
    pub waiting: usize,
    /// Messages that were lost because too many waited.
    pub lost: u64,
}

/// Machines and offices.
#[derive(Debug)]
pub struct World {
    dir: PathBuf,
    nonce: String,
    desk: Desk,
    clock: Mutex<StoryClock>,
    lines: Mutex<Vec<Line>>,
    outboxes: Vec<(&'static str, Mutex<Outbox>)>,
    andon: Mutex<Option<Andon>>,
    /// When somebody last spoke to it, by the wall.
    heard: Mutex<Time>,
    written: Mutex<BTreeMap<String, Time>>,
    stop: AtomicBool,
    _hold: File,
}

impl World {
    /// Opens the world of a folder, or makes a new one there; `wall` is the present time, `nonce` what only this world
    /// knows.
    pub fn open(dir: &Path, telling: Telling, nonce: String, wall: Time) -> Result<Self, WorldError> {
        let hold = kept::hold(dir)?;
        let clock = match kept::read(&dir.join(CLOCK))? {
            Some(clock) => clock,
            None => StoryClock::new(wall, telling.length, telling.speed),
        };
        kept::write(&dir.join(CLOCK), &clock)?;
        let said: BTreeMap<String, Time> = kept::read(&dir.join(SAID))?.unwrap_or_default();
        let desk = Desk::all(&dir.join("offices"), clock.first())?;
        let now = clock.at(wall);
        let mut lines = Vec::new();
        let mut outboxes = Vec::new();
        for plan in PLANS {
            let said = said.get(plan.site).copied().unwrap_or(clock.first()).max(now.minus(SAYS_AGAIN));
            let mut line = Line::new(plan, clock.first());
            // What it has said is said once more to nobody, so that it is as it was.
            let mut outbox = Outbox::new(said);
            let cartoner = line.cartoner().to_owned();
            loop {
                let messages = line.step(said, |at| known(&desk, &cartoner, at));
                if messages.is_empty() {
                    break;
                }
                outbox.push(messages);
            }
            lines.push(line);
            outboxes.push((plan.site, Mutex::new(outbox)));
        }
        Ok(Self {
            dir: dir.to_owned(),
            nonce,
            desk,
            clock: Mutex::new(clock),
            lines: Mutex::new(lines),
            outboxes,
            andon: Mutex::new(kept::read(&dir.join(ANDON))?),
            heard: Mutex::new(wall),
            written: Mutex::new(said),
            stop: AtomicBool::new(false),
            _hold: hold,
        })
    }

    /// What only this world knows.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The offices.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The time of the story.
    pub fn now(&self, wall: Time) -> Time {
        lock(&self.clock).at(wall)
    }

    /// What the machines of a site have said; `None` where there is no such site.
    pub fn outbox(&self, site: &str) -> Option<MutexGuard<'_, Outbox>> {
        self.outboxes.iter().find(|(name, _)| *name == site).map(|(_, outbox)| lock(outbox))
    }

    /// Where Andon is, where it has ever been met.
    pub fn andon(&self) -> Option<Andon> {
        lock(&self.andon).clone()
    }

    /// Andon is there, at these addresses. The story begins where it has not.
    pub fn meet(&self, andon: Andon, wall: Time) -> Result<(), WorldError> {
        kept::write(&self.dir.join(ANDON), &andon)?;
        *lock(&self.andon) = Some(andon);
        let mut clock = lock(&self.clock);
        if clock.begin(wall) {
            kept::write(&self.dir.join(CLOCK), &*clock)?;
        }
        Ok(())
    }

    /// Lets machines and offices do what is due. Waits for the disk.
    pub fn step(&self, wall: Time) -> Result<(), WorldError> {
        let clock = *lock(&self.clock);
        if !clock.has_begun() {
            return Ok(());
        }
        let now = clock.at(wall);
        self.desk.pass(now)?;
        for line in lock(&self.lines).iter_mut() {
            let cartoner = line.cartoner().to_owned();
            let messages = line.step(now, |at| known(&self.desk, &cartoner, at));
            if let Some(mut outbox) = self.outbox(line.plan().site) {
                outbox.push(messages);
            }
        }
        Ok(())
    }

    /// Writes up to which time the machines were heard, where that has changed.
    pub fn write(&self) -> Result<(), WorldError> {
        let said: BTreeMap<String, Time> =
            self.outboxes.iter().map(|(site, outbox)| ((*site).to_owned(), lock(outbox).said())).collect();
        let mut written = lock(&self.written);
        if *written != said {
            kept::write(&self.dir.join(SAID), &said)?;
            *written = said;
        }
        Ok(())
    }

    /// What the lab has to post now.
    pub fn posts(&self, wall: Time) -> Vec<Post> {
        self.desk.posts(self.now(wall))
    }

    /// How it is.
    pub fn stand(&self, wall: Time) -> Stand {
        let clock = *lock(&self.clock);
        let lines = lock(&self.lines);
        let stand = |line: &Line| {
            let site = line.plan().site;
            let (waiting, lost) = self.outbox(site).map(|outbox| (outbox.waiting(), outbox.lost())).unwrap_or_default();
            let (cartoner, chapter, at) = (line.cartoner().to_owned(), line.chapter(), line.at());
            LineStand { site: site.to_owned(), cartoner, chapter, at, waiting, lost }
        };
        Stand {
            nonce: self.nonce.clone(),
            story: clock.at(wall),
            first: clock.first(),
            speed: clock.speed(wall),
            lines: lines.iter().map(stand).collect(),
            posts: self.posts(wall).len(),
        }
    }

    /// Tells where it is found, once it can be spoken to.
    pub fn announce(&self, found: &Found) -> Result<(), WorldError> {
        kept::write(&self.dir.join(FOUND), found)
    }

    /// It is to be found no more: it ends because somebody wants that.
    pub fn leave(&self) {
        let _ = fs::remove_file(self.dir.join(FOUND));
    }

    /// Somebody speaks to it.
    fn heard(&self, wall: Time) {
        *lock(&self.heard) = wall;
    }

    /// How long nobody has spoken to it.
    pub fn alone(&self, wall: Time) -> Span {
        wall.since(*lock(&self.heard))
    }

    /// Somebody wants it to end.
    fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether somebody wants it to end.
    pub fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// How far a repair is, as the machines know it: what is asked for at the moment of a step is known at the next one,
/// also when the step is repeated.
fn known(desk: &Desk, asset: &str, at: Time) -> Repair {
    desk.repair(asset, at.minus(Span::from_nanos(1)))
}

/// Where the world of a folder said that it is found, which may be long ago.
pub fn found(dir: &Path) -> Result<Option<Found>, WorldError> {
    kept::read(&dir.join(FOUND))
}

/// A world that several threads share.
pub type Shared = Arc<World>;

const CLOCK: &str = "clock.json";
const SAID: &str = "said.json";
const ANDON: &str = "andon.json";
const FOUND: &str = "world.json";

/// A panic while a lock was held leaves each of these whole: they are replaced, not changed in parts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offices::{OfficeKind, Request};

    const TELLING: Telling = Telling { length: Span::from_secs(3_600), speed: 60 };

    fn wall(second: i64) -> Time {
        Time::parse("2026-11-26T10:00:00Z").unwrap().plus(Span::from_secs(second))
    }

    fn open(dir: &Path, second: i64) -> World {
        World::open(dir, TELLING, "n".into(), wall(second)).unwrap()
    }

    fn andon() -> Andon {
        Andon { listener: "127.0.0.1:1884".into(), api: "127.0.0.1:8730".into() }
    }

    fn request_work(world: &World, second: i64) {
        let body = r#"{"reference":"7K3QF0ZT9M2RX4B8","description":"shakes","equipment":"EQ-200212","plant":"2020"}"#;
        let request = Request {
            method: "POST".into(),
            path: vec!["requests".into()],
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.into(),
            ..Request::default()
        };
        let reply = world.desk().answer(OfficeKind::Eam, &request, world.now(wall(second)));
        assert_eq!(reply.status, 201, "{}", reply.body);
    }

    fn taken(world: &World, site: &str) -> Vec<crate::line::Message> {
        let mut outbox = world.outbox(site).unwrap();
        let taken: Vec<_> = std::iter::from_fn(|| outbox.send()).collect();
        outbox.acknowledged(taken.len() as u64);
        taken
    }

    #[test]
    fn nothing_happens_before_andon_is_met_and_then_the_machines_speak() {
        let dir = tempfile::tempdir().unwrap();
        let world = open(dir.path(), 0);
        world.step(wall(30)).unwrap();
        assert_eq!((taken(&world, "hamburg").len(), world.stand(wall(30)).speed), (0, 0));
        world.meet(andon(), wall(30)).unwrap();
        world.step(wall(31)).unwrap();
        // A minute of the story: twelve times five messages.
        assert_eq!((taken(&world, "hamburg").len(), taken(&world, "monterrey").len()), (60, 60));
        assert_eq!((world.stand(wall(31)).speed, world.stand(wall(31)).lines[1].chapter), (60, Chapter::Producing));
        assert!(world.outbox("nowhere").is_none());
    }

    #[test]
    fn a_repair_that_was_asked_for_changes_the_line_and_a_new_world_of_the_folder_goes_on_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let world = open(dir.path(), 0);
        world.meet(andon(), wall(0)).unwrap();
        world.step(wall(18)).unwrap();
        request_work(&world, 18);
        world.step(wall(25)).unwrap();
        assert_eq!(world.stand(wall(25)).lines[1].chapter, Chapter::Repairing);
        assert_eq!(world.stand(wall(25)).lines[0].chapter, Chapter::Wearing);
        let heard = taken(&world, "monterrey");
        world.step(wall(27)).unwrap();
        let unheard: Vec<_> = std::iter::from_fn(|| world.outbox("monterrey").unwrap().send()).collect();
        assert_eq!(unheard.len(), 120);
        world.write().unwrap();
        drop(world);

        let world = open(dir.path(), 28);
        world.step(wall(28)).unwrap();
        let again = taken(&world, "monterrey");
        assert_eq!(again[0].time, heard.last().unwrap().time, "what was heard at the last moment is said twice");
        let twice = again.iter().take_while(|message| message.time < unheard[0].time).count();
        assert!(again[twice..twice + 120] == unheard, "and what nobody heard as it was said");
        assert_eq!(again.len(), twice + 180);
        assert_eq!(world.andon(), Some(andon()));
        assert_eq!(taken(&world, "hamburg").len(), 28 * 60, "nobody had heard anything there");
        world.step(wall(40)).unwrap();
        assert_eq!(world.stand(wall(40)).lines[1].chapter, Chapter::Repaired);
    }

    #[test]
    fn a_folder_has_one_world() {
        let dir = tempfile::tempdir().unwrap();
        let world = open(dir.path(), 0);
        let second = World::open(dir.path(), TELLING, "m".into(), wall(0));
        assert!(matches!(second, Err(WorldError::InUse { .. })));
        let place = Found {
            pid: 1,
            nonce: "n".into(),
            control: "127.0.0.1:1".into(),
            offices: "http://127.0.0.1:2".into(),
            broker: None,
        };
        world.announce(&place).unwrap();
        assert_eq!(found(dir.path()).unwrap(), Some(place));
        world.leave();
        assert_eq!(found(dir.path()).unwrap(), None);
    }
}
