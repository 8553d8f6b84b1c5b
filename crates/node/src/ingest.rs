//! Posted samples: read by layer 1, durable before the answer.

use crate::{clock, given::chance};
use andon_api::{Accepted, Ingest, Problem, problem::Placed};
use andon_contract::{Contract, contract::SourceKind};
use andon_edge::{
    given::Env,
    http::{HttpIngest, Posted, Refusal},
};
use andon_store::{Store, StoreError};
use std::{collections::BTreeMap, sync::Arc};

/// The HTTP sources of a contract.
pub(crate) struct Posts {
    sources: BTreeMap<String, HttpIngest>,
    env: Env,
}

impl Posts {
    pub(crate) fn new(contract: &Arc<Contract>, store: &Store, env: Env) -> Result<Self, StoreError> {
        let mut sources = BTreeMap::new();
        for (name, source) in &contract.sources {
            if matches!(source.kind, SourceKind::Http(_))
                && let Some(ingest) =
                    HttpIngest::new(contract.clone(), name, store.clone(), &mut (Box::new(chance) as _))?
            {
                sources.insert(name.to_string(), ingest);
            }
        }
        Ok(Self { sources, env })
    }

    /// Takes a request; the answer is given once its samples are durable.
    pub(crate) fn take(&self, request: &Ingest) -> Result<Accepted, Problem> {
        let source = self.sources.get(&request.source).ok_or_else(|| {
            let known: Vec<&str> = self.sources.keys().map(String::as_str).collect();
            let remedy = match known.as_slice() {
                [] => "declare a source of `kind: http` in the project".to_owned(),
                known => format!("sources that take samples: {}", known.join(", ")),
            };
            Problem::not_found(format!("the project has no HTTP source {:?}", request.source)).remedy(remedy)
        })?;
        let bearer = request.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer "));
        match source.may_post(bearer, &self.env) {
            Ok(true) => {}
            Ok(false) => {
                return Err(Problem::unauthorised("the bearer token is missing or not the one of this source")
                    .remedy("send `authorization: Bearer <token>`"));
            }
            Err(ended) => return Err(Problem::unavailable(ended.reason).remedy(ended.remedy)),
        }
        match source.post(request.content_type.as_deref(), &request.body, clock::now()) {
            Ok(Posted::Accepted(counts)) => Ok(Accepted { stored: counts.stored, duplicate: counts.duplicate }),
            Ok(Posted::Refused(refusal)) => Err(refused(refusal)),
            Err(error) => {
                Err(Problem::unavailable(format!("nothing was taken: {error}")).remedy("send the same again later"))
            }
        }
    }
}

fn refused(refusal: Refusal) -> Problem {
    let detail = format!("nothing was taken: {} problems", refusal.problems.len());
    let problem = match refusal.status {
        413 => Problem::too_large(detail),
        415 => Problem::form(detail),
        422 => Problem::content(detail),
        _ => Problem::request(detail),
    };
    let placed = refusal
        .problems
        .into_iter()
        .map(|p| Placed { at: p.pointer, detail: format!("{}; {}", p.cause, p.remedy) })
        .collect();
    problem.placed(placed)
}
