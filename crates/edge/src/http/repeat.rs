//! Requests that are sent twice: a key, or the id of a webhook, makes them one.
//!
//! Before the first part of such a request becomes durable its row stands in the database, open, with the place of the
//! log at which it began. Each part carries the row's name as a mark. Once all are durable, the answer is written into
//! the row. A row without an answer tells that a crash came between: the log says from its place on which parts there
//! are, and only the others are stored.

use super::{Admitted, Caller, Head, HttpIngest, Refusal, samples::Stop};
use andon_model::{Entry, Mark, Name, Position, SiteName, Time, sample::Counts, span::Span};
use andon_store::{
    Store, StoreError,
    rows::{IntakeRow, Write},
};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt::Write as _,
    sync::{MutexGuard, PoisonError},
};

/// How long a key is remembered.
pub const KEPT: Span = Span::from_secs(86_400);
/// Keys of a source that are remembered; of more, the oldest are forgotten.
pub const KEPT_MAX: usize = 100_000;
/// The longest key, in bytes.
pub const KEY_MAX: usize = 255;
/// How often what is too old is looked for.
const TIDY: Span = Span::from_secs(60);
/// How the names of requests begin. Rows of other names, under the name of the source, are not ours: those of the reads
/// of a system that is called as the source is.
const NAMES: [&str; 2] = ["webhook/", "key/"];
/// Rows that are forgotten in one transaction.
const FORGET_MAX: usize = 1_000;

/// What is known of keys without asking the database.
#[derive(Default)]
pub(super) struct Repeats {
    /// Keys whose requests are under way.
    busy: HashSet<String>,
    /// When the answered ones were written, oldest first.
    answered: VecDeque<Time>,
    /// Those without an answer, with the time of their row.
    open: BTreeMap<String, Time>,
    /// When it was last looked for what is too old.
    tidied: Time,
}

impl Repeats {
    /// As the database has it.
    pub(super) fn read(store: &Store, source: &Name) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let ours = |row: &IntakeRow| NAMES.iter().any(|name| row.of.starts_with(name));
        for row in store.intakes(source)?.into_iter().filter(ours) {
            if row.open {
                found.open.insert(row.of, row.updated);
            } else {
                found.answered.push_back(row.updated);
            }
        }
        found.answered.make_contiguous().sort_unstable();
        Ok(found)
    }
}

/// A request with a key, under way.
pub(super) struct Ticket<'a> {
    ingest: &'a HttpIngest,
    /// Its name in the database and the log.
    pub(super) of: String,
    path: &'static str,
    hash: String,
    /// Where it began, when an earlier try of it did.
    began: Option<Position>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.ingest.lock_repeats().busy.remove(&self.of);
    }
}

/// How a request begins.
pub(super) enum Begin<'a> {
    /// It has no key.
    Plain,
    /// It is answered already.
    Answered(Json),
    /// It is to be done, or done to the end.
    New(Ticket<'a>),
}

impl HttpIngest {
    fn lock_repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request: one with the key and body of an earlier one is answered, or taken up where that ended.
    pub(super) fn begin(
        &self,
        path: &'static str,
        admitted: &Admitted,
        head: &Head<'_>,
        webhook: Option<&str>,
        body: &[u8],
        now: Time,
    ) -> Result<Begin<'_>, Stop> {
        let Some(of) = name(webhook, admitted, head)? else { return Ok(Begin::Plain) };
        if !self.lock_repeats().busy.insert(of.clone()) {
            let refusal =
                Refusal::new(409, "a request with this key is under way", "wait for its answer, then ask again");
            return Err(refusal.header("retry-after", "1").into());
        }
        let mut ticket = Ticket { ingest: self, of, path, hash: hash(path, head, body), began: None };
        let row = self.store.intake(&self.name, &ticket.of)?;
        let Some(row) = row.filter(|row| row.open || now.since(row.updated) <= KEPT) else {
            return Ok(Begin::New(ticket));
        };
        let text = |name: &str| row.state.get(name).and_then(Json::as_str);
        if text("hash") != Some(&ticket.hash) {
            let cause = "this key stands for another request, one with another body";
            return Err(
                Refusal::new(422, cause, "give each request a key of its own, and send a repeat unchanged").into()
            );
        }
        match row.state.get("answer") {
            Some(answer) if !row.open => Ok(Begin::Answered(answer.clone())),
            _ => {
                ticket.began = Some(row.position);
                Ok(Begin::New(ticket))
            }
        }
    }

    /// The parts of a request that are durable already; makes its row, where it has none.
    pub(super) fn resume(&self, ticket: &Ticket<'_>, now: Time) -> Result<BTreeMap<SiteName, Counts>, StoreError> {
        let mut done = BTreeMap::new();
        let Some(began) = ticket.began else {
            let row = self.row(ticket, self.store.log_end(), now, None);
            self.store.commit(vec![Write::Intake(Box::new(row))])?;
            self.lock_repeats().open.insert(ticket.of.clone(), now);
            return Ok(done);
        };
        let mut at = began.max(self.store.log_start());
        while let Some(batch) = self.store.read(at)? {
            let is_ours = batch.part.source == self.name
                && matches!(batch.part.entries.first(), Some(Entry::Mark(Mark::Rows { of, .. })) if *of == ticket.of);
            if is_ours {
                done.insert(batch.part.site.clone(), batch.part.counts);
            }
            if batch.end() <= at {
                break;
            }
            at = batch.end();
        }
        Ok(done)
    }

    /// Writes down the answer, together with what else is to be written.
    pub(super) fn finish(
        &self,
        ticket: &Ticket<'_>,
        answer: &Json,
        now: Time,
        mut writes: Vec<Write>,
    ) -> Result<(), StoreError> {
        let row = self.row(ticket, ticket.began.unwrap_or_default(), now, Some(answer));
        writes.push(Write::Intake(Box::new(row)));
        self.store.commit(writes)?;
        let mut repeats = self.lock_repeats();
        repeats.open.remove(&ticket.of);
        repeats.answered.push_back(now);
        Ok(())
    }

    fn row(&self, ticket: &Ticket<'_>, position: Position, now: Time, answer: Option<&Json>) -> IntakeRow {
        IntakeRow {
            source: self.name.clone(),
            of: ticket.of.clone(),
            position,
            open: answer.is_none(),
            updated: now,
            state: json!({"path": ticket.path, "hash": ticket.hash, "answer": answer}),
        }
    }

    /// Forgets keys that are too old or too many, also those whose requests were never sent again.
    pub(super) fn tidy(&self, now: Time) -> Result<(), StoreError> {
        let mut repeats = self.lock_repeats();
        if now.since(repeats.tidied) < TIDY && repeats.answered.len() <= KEPT_MAX + FORGET_MAX {
            return Ok(());
        }
        repeats.tidied = now;
        let mut before = None;
        let mut count = 0;
        while count < FORGET_MAX
            && let Some(oldest) = repeats.answered.front().copied()
            && (repeats.answered.len() > KEPT_MAX || now.since(oldest) > KEPT)
        {
            repeats.answered.pop_front();
            before = Some(oldest);
            count += 1;
        }
        let too_old: Vec<String> = repeats
            .open
            .iter()
            .filter(|(of, since)| now.since(**since) > KEPT && !repeats.busy.contains(*of))
            .map(|(of, _)| of.clone())
            .take(FORGET_MAX)
            .collect();
        for of in &too_old {
            repeats.open.remove(of);
        }
        drop(repeats);
        let mut writes = Vec::new();
        if let Some(oldest) = before {
            let before = Time(oldest.0.saturating_add(1));
            writes.extend(NAMES.map(|name| Write::IntakesBefore(self.name.clone(), name, before)));
        }
        writes.extend(too_old.into_iter().map(|of| Write::IntakeRemove(self.name.clone(), of)));
        if writes.is_empty() { Ok(()) } else { self.store.commit(writes).map(drop) }
    }
}

/// The name under which a request is known again: of a webhook its id, else the key of who sent it.
pub(super) fn name(webhook: Option<&str>, admitted: &Admitted, head: &Head<'_>) -> Result<Option<String>, Refusal> {
    Ok(match (webhook, key(head)?) {
        (Some(id), _) => Some(format!("webhook/{id}")),
        (None, Some(key)) => Some(match &admitted.caller {
            // What one caller was answered is nobody else's business.
            Caller::Key(name) => format!("key/{name}/{key}"),
            Caller::Token | Caller::Anyone | Caller::Signature => format!("key//{key}"),
        }),
        (None, None) => None,
    })
}

/// The key of a request. It may stand in quotes, as structured fields are written, or plain, as most write it.
fn key<'a>(head: &Head<'a>) -> Result<Option<&'a str>, Refusal> {
    let Some(text) = head.one("idempotency-key")? else { return Ok(None) };
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_key = !plain.is_empty()
        && plain.len() <= KEY_MAX
        && plain.bytes().all(|b| (0x20..0x7F).contains(&b) && b != b'"' && b != b'\\');
    if is_key {
        return Ok(Some(plain));
    }
    let cause = "the header `idempotency-key` is no key";
    Err(Refusal::new(
        400,
        cause,
        "send 1 to 255 printable characters without quotes and backslashes, a UUID for example",
    ))
}

/// What tells requests with one key apart.
fn hash(path: &str, head: &Head<'_>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(path.as_bytes());
    for (name, value) in head.headers {
        if name == "content-type" || name.starts_with("ce-") {
            hash.update([0]);
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(value.as_bytes());
        }
    }
    hash.update([0, 0]);
    hash.update(body);
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
