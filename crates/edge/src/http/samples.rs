//! Posted samples: read without holding anything up, compared with the window, durable before the answer.

use super::{
    Admitted, Head, HttpIngest, Posted, Refusal, SAMPLES_MAX,
    body::{self, Form},
    cloud::{Data, Envelope},
    reader::{self, Place, Raw},
    repeat::{Begin, Ticket},
    table::{Collector, GivenNumbers},
};
use crate::{duplicates::Duplicates, mapping::Read, mqtt::Ended};
use andon_model::{
    AssetName, Entry, Mark, SignalName, SiteName, Time,
    sample::{Batch, Counts, Part},
};
use andon_store::StoreError;
use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard, PoisonError, mpsc::sync_channel},
};

/// The window of duplicates of a source whose posts become durable side by side.
pub(super) struct Window {
    known: Duplicates,
    /// Appends that failed. What was taken for a repeat of their samples was none.
    failures: u64,
}

impl Window {
    pub(super) fn new(known: Duplicates) -> Self {
        Self { known, failures: 0 }
    }
}

/// Samples of one site on their way to the log.
pub(super) struct Bundle {
    pub(super) site: SiteName,
    pub(super) read: Vec<Read>,
}

impl HttpIngest {
    /// Takes a request; returns when what it brought is durable. An error says why nothing can be stored now: the
    /// same request may be sent again.
    pub fn post(&self, admitted: &Admitted, head: &Head<'_>, sent: &[u8], now: Time) -> Result<Posted, Failed> {
        self.tidy(now)?;
        match self.take(admitted, head, sent, now) {
            Ok(posted) => Ok(posted),
            Err(Stop::Failed(failed)) => Err(failed),
            Err(Stop::Refused(refusal)) => {
                self.count_refused(&refusal)?;
                Ok(Posted::Refused(refusal))
            }
        }
    }

    fn take(&self, admitted: &Admitted, head: &Head<'_>, sent: &[u8], now: Time) -> Result<Posted, Stop> {
        let webhook = self.door.webhook(admitted, head, sent, now)?;
        let body = body::decode(head.one("content-encoding")?, sent)?;
        let ticket = match self.begin("samples", admitted, head, webhook, &body, now)? {
            Begin::Plain => None,
            Begin::New(ticket) => Some(ticket),
            Begin::Answered(answer) => {
                let count = |name: &str| answer.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
                let (stored, duplicate) = (count("stored"), count("duplicate"));
                let counts = Counts { received: stored + duplicate, stored, duplicate, ..Counts::default() };
                return Ok(Posted::Accepted { counts, replayed: true });
            }
        };
        let bundles = self.read(admitted.form, head, &body, now)?;
        let Some(ticket) = ticket else {
            let counts = self.keep(bundles, None)?;
            return Ok(Posted::Accepted { counts, replayed: false });
        };
        let counts = self.keep_once(&ticket, bundles, now)?;
        let answer = serde_json::json!({"stored": counts.stored, "duplicate": counts.duplicate});
        self.finish(&ticket, &answer, now, Vec::new())?;
        Ok(Posted::Accepted { counts, replayed: false })
    }

    /// The samples of a body by site, or every problem in it. Nothing is held meanwhile. A body with signals that have
    /// no number yet is read twice: what is refused gives none, and all of them become durable together.
    fn read(&self, form: Form, head: &Head<'_>, body: &[u8], now: Time) -> Result<Vec<Bundle>, Stop> {
        let (mut new, mut seen) = (Vec::new(), BTreeSet::new());
        let mut known = |asset: &AssetName, signal: &SignalName| {
            let number = self.store.known_number(asset, signal);
            if number.is_none() && seen.insert((asset.clone(), signal.clone())) {
                new.push((asset.clone(), signal.clone()));
            }
            Ok(number)
        };
        let bundles = self.read_by(form, head, body, now, &mut known)?;
        if new.is_empty() {
            return Ok(bundles);
        }
        self.store.numbers(&new)?;
        self.read_by(form, head, body, now, &mut |asset, signal| self.store.signal(asset, signal).map(Some))
    }

    fn read_by(
        &self,
        form: Form,
        head: &Head<'_>,
        body: &[u8],
        now: Time,
        numbers: &mut GivenNumbers<'_>,
    ) -> Result<Vec<Bundle>, Stop> {
        let text = reader::text(body)?;
        let mut all = Collector::new(&self.table, &self.source, numbers, now);
        match form {
            Form::Json => reader::elements(text, "sample", &mut |place, raw| all.take(place, raw))?,
            Form::Lines => {
                let all = std::cell::RefCell::new(&mut all);
                let mut each = |place, raw: Raw<'_>| all.borrow_mut().take(place, raw);
                reader::lines(text, &mut each, &mut |problem| {
                    let mut all = all.borrow_mut();
                    all.count += 1;
                    all.wrong(problem);
                })?;
            }
            Form::Cloud => reader::element(text, "event", &mut |place, event| unfold(&mut all, place, event, false))?,
            Form::CloudBatch => {
                reader::elements(text, "event", &mut |place, event| unfold(&mut all, place, event, false))?;
            }
            Form::CloudBinary => {
                let data: Data<'_> = reader::whole(text)?;
                unfold(&mut all, Place::default(), Envelope::of_headers(head, data)?, true);
            }
        }
        if let Some(error) = all.failed {
            return Err(error.into());
        }
        let count = all.count as u64;
        if all.count > SAMPLES_MAX {
            let refusal = Refusal::new(413, format!("the body has {count} samples"), "send at most 100,000 at once");
            return Err(Refusal { samples: count, ..refusal }.into());
        }
        if !all.problems.is_empty() {
            return Err(Refusal::content(all.problems, count).into());
        }
        if count == 0 {
            return Err(Refusal::new(422, "the body has no sample", "send at least one").into());
        }
        let bundles = self.table.sites().iter().zip(all.parts).filter(|(_, read)| !read.is_empty());
        Ok(bundles.map(|(site, read)| Bundle { site: site.clone(), read }).collect())
    }

    /// Makes samples durable, each part with a mark where one is given. The window is held while it is asked and while
    /// the part takes its place behind those before it, not until it is durable.
    pub(super) fn keep(&self, bundles: Vec<Bundle>, mark: Option<&str>) -> Result<Counts, StoreError> {
        let mut window = self.lock_window();
        let failures = window.failures;
        let mut fresh = Vec::new();
        let mut counts = Counts::default();
        let mut parts = Vec::with_capacity(bundles.len());
        for Bundle { site, read } in bundles {
            let mut part = Part::new(site, self.name.clone());
            part.entries.reserve(read.len() + 1);
            if let Some(of) = mark {
                part.entries.push(Entry::Mark(Mark::Rows { of: of.to_owned(), from: 0, to: read.len() as u64 }));
            }
            for Read { sample, claimed } in read {
                part.counts.received += 1;
                if let Some(time) = claimed {
                    match window.known.see(&sample, time) {
                        None => {
                            part.counts.duplicate += 1;
                            continue;
                        }
                        Some(noted) => fresh.push(noted),
                    }
                }
                part.counts.stored += 1;
                part.entries.push(Entry::Sample(sample));
            }
            counts.add(&part.counts);
            parts.push(part);
        }
        let outcome = if parts.len() == 1
            && let Some(part) = parts.pop()
        {
            let (tell, told) = sync_channel::<Result<Arc<Batch>, StoreError>>(1);
            self.store.submit(part, Box::new(move |outcome| drop(tell.send(outcome))));
            drop(window);
            told.recv().unwrap_or_else(|_| Err(ended())).map(drop)
        } else {
            let outcome = self.store.append(parts).map(drop);
            drop(window);
            outcome
        };
        // Who waits for the log is answered in its order: a failure before this part is known by now.
        if outcome.is_err() || counts.duplicate > 0 {
            let mut window = self.lock_window();
            if let Err(error) = outcome {
                window.known.forget(&fresh);
                window.failures += 1;
                return Err(error);
            }
            if window.failures != failures {
                return Err(StoreError::Stopped(
                    "samples that these repeat could not be stored, so they are none".to_owned(),
                ));
            }
        }
        Ok(counts)
    }

    /// Makes the samples of a request with a key durable that are not so already.
    fn keep_once(&self, ticket: &Ticket<'_>, bundles: Vec<Bundle>, now: Time) -> Result<Counts, StoreError> {
        let done = self.resume(ticket, now)?;
        let mut counts = Counts::default();
        let mut rest = Vec::new();
        for bundle in bundles {
            match done.get(&bundle.site) {
                Some(known) => counts.add(known),
                None => rest.push(bundle),
            }
        }
        if !rest.is_empty() {
            counts.add(&self.keep(rest, Some(&ticket.of))?);
        }
        Ok(counts)
    }

    /// Counts what was refused for its content, at the first site: it belongs to none. Who may not come in brought
    /// nothing, and what is under way is counted there.
    pub(super) fn count_refused(&self, refusal: &Refusal) -> Result<(), StoreError> {
        if matches!(refusal.status, 401 | 409) {
            return Ok(());
        }
        let count = refusal.samples;
        self.count(Counts { received: count, refused: count, ..Counts::default() })
    }

    /// Writes down what was received without a sample.
    pub(super) fn count(&self, counts: Counts) -> Result<(), StoreError> {
        let Some(site) = self.contract.sites.keys().next() else { return Ok(()) };
        let mut part = Part::new(site.clone(), self.name.clone());
        part.counts = counts;
        self.store.append(vec![part]).map(drop)
    }

    fn lock_window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unfold<'a>(all: &mut Collector<'_, '_>, place: Place, event: Envelope<'a>, in_headers: bool) {
    let all = std::cell::RefCell::new(all);
    let samples = std::cell::Cell::new(0);
    let mut each = |place, raw: Raw<'a>| {
        samples.set(samples.get() + 1);
        all.borrow_mut().take(place, raw);
    };
    event.samples(place, in_headers, &mut each, &mut |problem| all.borrow_mut().wrong(problem));
    if samples.get() == 0 {
        // An event that gives no sample counts as one that is refused.
        let mut all = all.borrow_mut();
        all.count += 1;
        if all.problems.is_empty() {
            let (pointer, cause) = (place.pointer(""), "the event has no sample".to_owned());
            all.wrong(super::BodyProblem { pointer, cause, remedy: "send at least one in `data`".to_owned() });
        }
    }
}

fn ended() -> StoreError {
    StoreError::Stopped("the thread that writes the log has ended".into())
}

/// Why nothing can be said to a request now; it may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The store cannot take it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A secret cannot be read.
    #[error("{}", .0.reason)]
    Secret(Ended),
}

/// Why a request goes no further.
pub(super) enum Stop {
    Refused(Refusal),
    Failed(Failed),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(Failed::Store(error))
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        Self::Failed(Failed::Secret(ended))
    }
}
