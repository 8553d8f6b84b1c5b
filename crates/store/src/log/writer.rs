//! The thread that writes the log: all parts that wait become one group and share one sync.

use super::{Known, ended, files::Active, frame, placed};
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

/// What is called with the batches of a job.
type Reply = Box<dyn FnOnce(Result<Vec<Arc<Batch>>, StoreError>) + Send>;

/// Parts that become durable together.
pub(crate) struct Job {
    parts: Vec<Part>,
    bytes: usize,
    reply: Reply,
}

impl Job {
    pub(crate) fn new(parts: Vec<Part>, reply: Reply) -> Self {
        let bytes = parts.iter().map(frame::estimate).sum();
        Self { parts, bytes, reply }
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
            return (job.reply)(Err(ended()));
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
        for job in jobs {
            (job.reply)(Err(ended()));
        }
    }
}

fn serve(mut active: Active, queue: &Queue, known: &Mutex<Known>, folder: &Folder, change: &Change) {
    let mut stopped = None;
    loop {
        let jobs = queue.take();
        if jobs.is_empty() {
            break;
        }
        let outcome = match &stopped {
            None => write(&mut active, jobs, known),
            Some(why) => {
                Err((StoreError::Stopped(String::clone(why)), jobs.into_iter().map(|job| job.reply).collect()))
            }
        };
        match outcome {
            Ok(done) => {
                change.rise();
                for (reply, batches) in done {
                    reply(Ok(batches));
                }
            }
            Err((error, replies)) => {
                if error.is_full() {
                    folder.room.exhausted();
                } else if let StoreError::Stopped(why) = &error {
                    stopped = Some(why.clone());
                }
                for reply in replies {
                    reply(Err(error.clone()));
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

type Written = Vec<(Reply, Vec<Arc<Batch>>)>;

/// Writes jobs as one group: all of them are durable, or none is there.
fn write(active: &mut Active, jobs: Vec<Job>, known: &Mutex<Known>) -> Result<Written, (StoreError, Vec<Reply>)> {
    let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
    let mut parts = Vec::new();
    let mut replies = Vec::new();
    for job in jobs {
        replies.push((job.reply, job.parts.len()));
        parts.extend(job.parts);
    }
    // Only this thread changes the end and the counts.
    let batches = placed(parts, known().end);
    match active.write(&batches, || known().counts.clone()) {
        Ok(()) => {
            known().keep(&batches);
            let mut batches = batches.into_iter();
            Ok(replies.into_iter().map(|(reply, count)| (reply, batches.by_ref().take(count).collect())).collect())
        }
        Err(error) => Err((error, replies.into_iter().map(|(reply, _)| reply).collect())),
    }
}
