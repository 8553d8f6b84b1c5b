//! The thread that writes the log: all parts that wait become one group and share one sync.

use super::{Done, Known, ended, files::Active, frame, placed};
use crate::{StoreError, change::Change, folder::Folder};
use andon_model::sample::{Batch, Part};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
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

/// The way to the thread.
pub(crate) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
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
        let mut waiting = self
            .work
            .wait_while(self.lock(), |waiting| waiting.jobs.is_empty() && !waiting.closed)
            .unwrap_or_else(PoisonError::into_inner);
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
    /// Starts the thread.
    pub(crate) fn start(active: Active, known: Arc<Mutex<Known>>, folder: Arc<Folder>, change: Arc<Change>) -> Self {
        let queue = Arc::new(Queue::default());
        let served = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name("store-log".into())
            .spawn(move || {
                // Whatever ends the thread, nobody may wait for it afterwards.
                let closing = Closing(served);
                serve(active, &closing.0, &known, &folder, &change);
            })
            .expect("a thread can be started");
        Self { queue, thread: Some(thread) }
    }

    /// Hands parts to the thread; blocks while too much waits.
    pub(crate) fn submit(&self, job: Job) {
        let full = |waiting: &mut Waiting| {
            !waiting.closed && waiting.bytes > 0 && waiting.bytes + job.bytes > WAITING_BYTES_MAX
        };
        let mut waiting = self.queue.room.wait_while(self.queue.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            drop(waiting);
            return taken(vec![job], &mut Vec::new()).into_iter().for_each(|told| told.failed(ended()));
        }
        waiting.bytes += job.bytes;
        waiting.jobs.push_back(job);
        drop(waiting);
        self.queue.work.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.work.notify_all();
        self.queue.room.notify_all();
        // A reply may hold the last clone of the store: then this is the thread itself, which ends by itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic of the thread was printed already, and its parts were never acknowledged.
            let _ = thread.join();
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

fn serve(mut active: Active, queue: &Queue, known: &Mutex<Known>, folder: &Folder, change: &Change) {
    let mut stopped: Option<String> = None;
    loop {
        let jobs = queue.take();
        if jobs.is_empty() {
            break;
        }
        let mut parts = Vec::with_capacity(jobs.len());
        let told = taken(jobs, &mut parts);
        let written = match &stopped {
            None => write(&mut active, parts, known),
            Some(why) => Err(StoreError::Stopped(why.clone())),
        };
        match written {
            Ok(batches) => {
                change.rise();
                answer(told, batches);
            }
            Err(error) => {
                if error.is_full() {
                    folder.room.exhausted();
                } else if let StoreError::Stopped(why) = &error {
                    stopped = Some(why.clone());
                }
                for told in told {
                    told.failed(error.clone());
                }
            }
        }
    }
    if stopped.is_none()
        && let Err(error) = active.seal()
    {
        tracing::warn!(%error, "the log could not be closed; nothing is lost, the next start looks for its end");
    }
}

/// Writes parts as one group: all of them are durable, or none is there.
fn write(active: &mut Active, parts: Vec<Part>, known: &Mutex<Known>) -> Result<Vec<Arc<Batch>>, StoreError> {
    let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
    // Only this thread changes the end and the counts.
    let batches = placed(parts, known().end);
    active.write(&batches, || known().counts.clone())?;
    known().keep(&batches);
    Ok(batches)
}

/// Gives everybody the batches of their parts.
fn answer(told: Vec<Told>, batches: Vec<Arc<Batch>>) {
    let mut batches = batches.into_iter();
    for told in told {
        match told {
            Told::One(done) => done(Ok(batches.next().expect("one part makes one batch"))),
            Told::Many(reply, count) => reply(Ok(batches.by_ref().take(count).collect())),
        }
    }
}
