//! Who writes the log: all parts that wait become one group and share one sync. On the system's disk that is a thread,
//! on a simulated one whoever submits.

use super::{Done, Known, ended, files::Active, frame, placed};
use crate::{
    StoreError,
    change::Change,
    disk::{Disk, Process},
    folder::Folder,
};
use andon_model::sample::{Batch, Part};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::sync_channel},
    thread::{self, JoinHandle},
};

/// Bytes that may wait, by the estimate of their size in the log; further parts block their callers.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// Bytes of a group, by the same estimate; one job is never divided.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// What is called with the batches of an append.
pub(crate) type Reply = Box<dyn FnOnce(Result<Vec<Arc<Batch>>, StoreError>) + Send>;

/// Parts that become durable together, and who is told. One part alone is the common case and takes no list.
pub(crate) struct Job {
    parts: Parts,
    bytes: usize,
}

enum Parts {
    One(Part, Done),
    Many(Vec<Part>, Reply),
}

impl Job {
    /// One part.
    pub(crate) fn one(part: Part, done: Done) -> Self {
        let bytes = frame::estimate(&part);
        Self { parts: Parts::One(part, done), bytes }
    }

    /// Several parts that follow each other.
    pub(crate) fn many(parts: Vec<Part>, reply: Reply) -> Self {
        let bytes = parts.iter().map(frame::estimate).sum();
        Self { parts: Parts::Many(parts, reply), bytes }
    }
}

/// Who is told of a job.
enum Told {
    One(Done),
    Many(Reply, usize),
}

impl Told {
    fn failed(self, error: StoreError) {
        match self {
            Self::One(done) => done(Err(error)),
            Self::Many(reply, _) => reply(Err(error)),
        }
    }
}

/// The way to who writes.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    hand: Hand,
}

/// Who writes.
enum Hand {
    /// A thread; gone once it was waited for.
    Thread(Option<JoinHandle<()>>),
    /// Whoever submits.
    Caller { serving: Box<Mutex<Serving>>, process: Process },
}

/// The file that grows, and who is told of it.
struct Serving {
    active: Active,
    known: Arc<Mutex<Known>>,
    folder: Arc<Folder>,
    change: Arc<Change>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits, or the queue is closed.
    work: Condvar,
    /// Something was taken out.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next jobs that form a group; none once the queue is closed and empty.
    fn take(&self) -> Vec<Job> {
        let waiting = self
            .work
            .wait_while(self.lock(), |waiting| waiting.jobs.is_empty() && !waiting.closed)
            .unwrap_or_else(PoisonError::into_inner);
        self.group(waiting)
    }

    /// The first of the jobs that wait, as many as a group takes.
    fn group(&self, mut waiting: MutexGuard<'_, Waiting>) -> Vec<Job> {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(job) = waiting.jobs.pop_front_if(|job| bytes == 0 || bytes + job.bytes <= GROUP_BYTES_MAX) {
            bytes += job.bytes;
            group.push(job);
        }
        waiting.bytes -= bytes;
        drop(waiting);
        self.room.notify_all();
        group
    }
}

impl Writer {
    /// Begins to write: a thread is started, or nothing more is done than what callers do.
    pub(crate) fn start(active: Active, known: Arc<Mutex<Known>>, folder: Arc<Folder>, change: Arc<Change>) -> Self {
        let queue = Arc::new(Queue::default());
        let disk = folder.disk.clone();
        let mut serving = Serving { active, known, folder, change };
        if let Disk::Simulated(process) = disk {
            return Self { queue, hand: Hand::Caller { serving: Box::new(Mutex::new(serving)), process } };
        }
        let served = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("store-log".into())
            .spawn(move || {
                // Whatever ends the thread, nobody may wait for it afterwards.
                let closing = Closing(served);
                loop {
                    let jobs = closing.0.take();
                    if jobs.is_empty() {
                        break;
                    }
                    serving.group(jobs).tell();
                }
                serving.end();
            })
            .expect("a thread can be started");
        Self { queue, hand: Hand::Thread(Some(thread)) }
    }

    /// Writes the parts as one group; returns when they are durable.
    pub(crate) fn append(&self, parts: Vec<Part>) -> Result<Vec<Arc<Batch>>, StoreError> {
        let (reply, outcome) = sync_channel(1);
        // Nobody but this function waits for the reply.
        self.submit(Job::many(parts, Box::new(move |batches| drop(reply.send(batches)))));
        self.settle();
        outcome.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Hands parts over; blocks while too much waits.
    pub(crate) fn submit(&self, job: Job) {
        let is_full = |waiting: &Waiting| waiting.bytes > 0 && waiting.bytes + job.bytes > WAITING_BYTES_MAX;
        let mut waiting = match &self.hand {
            Hand::Thread(_) => {
                let full = |waiting: &mut Waiting| !waiting.closed && is_full(waiting);
                self.queue.room.wait_while(self.queue.lock(), full).unwrap_or_else(PoisonError::into_inner)
            }
            Hand::Caller { .. } => {
                if is_full(&self.queue.lock()) {
                    self.settle();
                }
                self.queue.lock()
            }
        };
        if waiting.closed {
            drop(waiting);
            return taken(vec![job], &mut Vec::new()).into_iter().for_each(|told| told.failed(ended()));
        }
        waiting.bytes += job.bytes;
        waiting.jobs.push_back(job);
        drop(waiting);
        match &self.hand {
            Hand::Thread(_) => self.queue.work.notify_one(),
            Hand::Caller { process, .. } if process.holds() => {}
            Hand::Caller { .. } => self.settle(),
        }
    }

    /// Lets the caller write what waits, where nobody else does.
    pub(crate) fn settle(&self) {
        let Hand::Caller { serving, .. } = &self.hand else { return };
        loop {
            let jobs = self.queue.group(self.queue.lock());
            if jobs.is_empty() {
                break;
            }
            // Who is told may submit again.
            let answer = serving.lock().unwrap_or_else(PoisonError::into_inner).group(jobs);
            answer.tell();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.settle();
        self.queue.lock().closed = true;
        self.queue.work.notify_all();
        self.queue.room.notify_all();
        match &mut self.hand {
            // A reply may hold the last clone of the store: then this is the thread itself, which ends by itself.
            Hand::Thread(thread) => {
                if let Some(thread) = thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
                    // A panic of the thread was printed already, and its parts were never acknowledged.
                    let _ = thread.join();
                }
            }
            Hand::Caller { serving, .. } => serving.get_mut().unwrap_or_else(PoisonError::into_inner).end(),
        }
    }
}

/// Closes the queue when the thread ends, and answers what still waits.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        let jobs = {
            let mut waiting = self.0.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.jobs)
        };
        self.0.room.notify_all();
        for told in taken(jobs, &mut Vec::new()) {
            told.failed(ended());
        }
    }
}

/// Takes the parts out of jobs, in order.
fn taken(jobs: impl IntoIterator<Item = Job>, parts: &mut Vec<Part>) -> Vec<Told> {
    let take = |job: Job| match job.parts {
        Parts::One(part, done) => {
            parts.push(part);
            Told::One(done)
        }
        Parts::Many(many, reply) => {
            let count = many.len();
            parts.extend(many);
            Told::Many(reply, count)
        }
    };
    jobs.into_iter().map(take).collect()
}

/// What came of a group, and who is to be told.
struct Answer {
    told: Vec<Told>,
    outcome: Result<Vec<Arc<Batch>>, StoreError>,
}

impl Serving {
    /// Writes jobs as one group.
    fn group(&mut self, jobs: Vec<Job>) -> Answer {
        let mut parts = Vec::with_capacity(jobs.len());
        let told = taken(jobs, &mut parts);
        let outcome = match self.stopped() {
            None => self.write(parts),
            Some(why) => Err(StoreError::Stopped(why)),
        };
        match &outcome {
            Ok(_) => self.change.rise(),
            Err(error) if error.is_full() => drop(self.folder.room.exhausted()),
            Err(StoreError::Stopped(why)) => self.known().stopped = Some(why.clone()),
            Err(_) => {}
        }
        Answer { told, outcome }
    }

    /// Writes parts as one group: all of them are durable, or none is there.
    fn write(&mut self, parts: Vec<Part>) -> Result<Vec<Arc<Batch>>, StoreError> {
        // Nobody else changes the end and the counts.
        let batches = placed(parts, self.known().end);
        let known = &self.known;
        self.active.write(&batches, || locked(known).counts.clone())?;
        self.known().keep(&batches);
        Ok(batches)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }

    fn stopped(&self) -> Option<String> {
        self.known().stopped.clone()
    }

    /// A clean stop.
    fn end(&mut self) {
        if self.stopped().is_none()
            && let Err(error) = self.active.seal()
        {
            tracing::warn!(%error, "the log could not be closed; nothing is lost, the next start looks for its end");
        }
    }
}

fn locked(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    /// Gives everybody the batches of their parts, or what went wrong.
    fn tell(self) {
        let mut batches = match self.outcome {
            Ok(batches) => batches.into_iter(),
            Err(error) => return self.told.into_iter().for_each(|told| told.failed(error.clone())),
        };
        for told in self.told {
            match told {
                Told::One(done) => done(Ok(batches.next().expect("one part makes one batch"))),
                Told::Many(reply, count) => reply(Ok(batches.by_ref().take(count).collect())),
            }
        }
    }
}
