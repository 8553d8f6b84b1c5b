//! What is posted to sources: read by layer 1, durable before the answer.

use crate::{clock, given::chance, posted::Hooks};
use andon_api::{
    Problem,
    posts::{Accepted, Admission, Post, Raised as RaisedEvents, Taken, What},
    problem::Placed,
};
use andon_contract::{Contract, contract::SourceKind};
use andon_edge::{
    given::Env,
    http::{Admitted, Caller, Failed, Head, HttpIngest, Posted, Raised, Refusal},
};
use andon_model::Time;
use andon_store::{Store, StoreError};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How often it is told what a caller posts.
const TELL_SECS: i64 = 60;

/// The HTTP sources of a contract.
pub(crate) struct Posts {
    sources: BTreeMap<String, HttpIngest>,
    hooks: Hooks,
    callers: Mutex<BTreeMap<(String, String), Tally>>,
}

/// What a caller posted since it was told last.
#[derive(Default)]
struct Tally {
    posts: u64,
    bytes: u64,
    told: Option<Time>,
}

impl Posts {
    pub(crate) fn new(contract: &Arc<Contract>, store: &Store, env: &Env, hooks: Hooks) -> Result<Self, StoreError> {
        let mut sources = BTreeMap::new();
        for (name, source) in &contract.sources {
            if matches!(source.kind, SourceKind::Http(_))
                && let Some(ingest) =
                    HttpIngest::new(contract.clone(), name, store.clone(), env.clone(), &mut (Box::new(chance) as _))?
            {
                sources.insert(name.to_string(), ingest);
            }
        }
        Ok(Self { sources, hooks, callers: Mutex::default() })
    }

    /// Lets a post in before its body is read.
    pub(crate) fn admit(&self, post: &Post) -> Result<Admission, Problem> {
        if post.what == What::Objects {
            return self.hooks.admit(post);
        }
        let admitted = self
            .source(post)?
            .admit(&head(post))
            .map_err(|ended| Problem::unavailable(ended.reason).remedy(ended.remedy))?;
        match admitted {
            Ok(admitted) => Ok(Admission(Box::new(admitted))),
            Err(refusal) => {
                if refusal.status == 401 {
                    tracing::warn!(source = %post.source, "a post was refused: its key is missing or wrong");
                }
                Err(refused(refusal))
            }
        }
    }

    /// Takes a post; the answer is given once what it brought is durable.
    pub(crate) fn take(&self, post: &Post, admission: Admission, body: &[u8]) -> Result<Taken, Problem> {
        if post.what == What::Objects {
            return self.hooks.take(post, admission, body);
        }
        let source = self.source(post)?;
        let admitted = admission.0.downcast::<Admitted>();
        let admitted = admitted.map_err(|_| Problem::fault("a post was let in by somebody else"))?;
        let now = clock::now();
        let taken = match post.what {
            What::Samples => match source.post(&admitted, &head(post), body, now).map_err(failed)? {
                Posted::Accepted { counts, replayed } => {
                    let accepted = Accepted { stored: counts.stored, duplicate: counts.duplicate };
                    Ok(Taken { answer: json!(accepted), replayed })
                }
                Posted::Refused(refusal) => Err(refusal),
            },
            What::Events | What::Objects => match source.raise(&admitted, &head(post), body, now).map_err(failed)? {
                Raised::Accepted(told) => {
                    let replayed = told.replayed;
                    let raised = RaisedEvents {
                        events: told.events,
                        duplicate: told.duplicate,
                        ignored: told.ignored,
                        set_aside: told.set_aside,
                    };
                    Ok(Taken { answer: json!(raised), replayed })
                }
                Raised::Refused(refusal) => Err(refusal),
            },
        };
        match taken {
            Ok(taken) => {
                self.tell(&post.source, admitted.caller(), body.len() as u64, now);
                Ok(taken)
            }
            Err(refusal) => {
                let first = refusal.problems.first().map(|problem| problem.cause.as_str()).unwrap_or_default();
                tracing::warn!(
                    source = %post.source, by = %admitted.caller(), status = refusal.status,
                    "a post was refused: {first}"
                );
                Err(refused(refusal))
            }
        }
    }

    fn source(&self, post: &Post) -> Result<&HttpIngest, Problem> {
        self.sources.get(&post.source).ok_or_else(|| {
            let known: Vec<&str> = self.sources.keys().map(String::as_str).collect();
            let remedy = match known.as_slice() {
                [] => "declare a source of `kind: http` in the project".to_owned(),
                known => format!("sources that are posted to: {}", known.join(", ")),
            };
            Problem::not_found(format!("the project has no HTTP source {:?}", post.source)).remedy(remedy)
        })
    }

    /// A line in the log for each caller: at its first post, then once a minute as long as it posts.
    fn tell(&self, source: &str, caller: &Caller, bytes: u64, now: Time) {
        let key = (source.to_owned(), caller.to_string());
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = callers.entry(key).or_default();
        tally.posts += 1;
        tally.bytes += bytes;
        if tally.told.is_none_or(|told| now.since(told) >= andon_model::span::Span::from_secs(TELL_SECS)) {
            tracing::info!(source, by = %caller, posts = tally.posts, bytes = tally.bytes, "posted");
            *tally = Tally { told: Some(now), ..Tally::default() };
        }
    }
}

pub(crate) fn head(post: &Post) -> Head<'_> {
    Head { headers: &post.headers, query: &post.query }
}

pub(crate) fn failed(failed: Failed) -> Problem {
    match failed {
        Failed::Store(error) => {
            Problem::unavailable(format!("nothing was taken: {error}")).remedy("send the same again later")
        }
        Failed::Secret(ended) => Problem::unavailable(ended.reason).remedy(ended.remedy),
    }
    .header("retry-after", "1")
}

pub(crate) fn refused(refusal: Refusal) -> Problem {
    let Refusal { status, problems, headers, .. } = refusal;
    let single = match problems.as_slice() {
        [one] if one.pointer.is_empty() => Some((one.cause.clone(), one.remedy.clone())),
        _ => None,
    };
    let detail = match (&single, status) {
        (Some((cause, _)), _) => cause.clone(),
        (None, _) => format!("nothing was taken: {} problems", problems.len()),
    };
    let mut problem = match status {
        401 => Problem::unauthorised(detail),
        409 => Problem::conflict(detail),
        413 => Problem::too_large(detail),
        415 => Problem::form(detail),
        422 => Problem::content(detail),
        429 => Problem::busy(detail),
        _ => Problem::request(detail),
    };
    for (name, value) in headers {
        problem = problem.header(name, value);
    }
    if let Some((_, remedy)) = single {
        return problem.remedy(remedy);
    }
    let placed = problems.into_iter();
    problem.placed(placed.map(|p| Placed { at: p.pointer, detail: format!("{}; {}", p.cause, p.remedy) }).collect())
}
