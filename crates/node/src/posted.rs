//! What systems post to their reads: the connectors read it, layer 2 takes it, and it is durable before the answer.

use crate::{
    clock,
    ingest::{failed, head, refused},
};
use andon_api::{
    Problem,
    posts::{Admission, ObjectsTold, Post, Taken},
};
use andon_contract::Contract;
use andon_edge::{
    given::Env,
    http::{Admitted, Caller, Door},
};
use andon_events::objects::{
    Objects,
    posted::{NotTaken, Posted},
};
use andon_model::Name;
use andon_store::StoreError;
use andon_systems::{Connectors, rest::reads::PAGE_MAX_BYTES};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// The reads of a contract that are posted to, as `system/read`.
pub(crate) struct Hooks {
    hooks: BTreeMap<String, Hook>,
    connectors: Arc<Connectors>,
}

struct Hook {
    system: Name,
    read: Name,
    door: Door,
    posted: Posted,
}

impl Hooks {
    pub(crate) fn new(
        contract: &Contract,
        objects: &Objects,
        connectors: &Arc<Connectors>,
        env: &Env,
    ) -> Result<Self, StoreError> {
        let mut hooks = BTreeMap::new();
        for (system, settings) in &contract.systems {
            for (name, read) in &settings.reads {
                let Some(webhook) = &read.webhook else { continue };
                let door = Door::new(webhook.door.clone(), env.clone(), &mut (Box::new(crate::given::chance) as _));
                let posted = Posted::new(objects.clone(), (system, name, read))?;
                let hook = Hook { system: system.clone(), read: name.clone(), door, posted };
                hooks.insert(format!("{system}/{name}"), hook);
            }
        }
        Ok(Self { hooks, connectors: connectors.clone() })
    }

    /// Lets a post in before its body is read.
    pub(crate) fn admit(&self, post: &Post) -> Result<Admission, Problem> {
        let admitted = self.hook(post)?.door.admit(&head(post));
        let admitted = admitted.map_err(|ended| Problem::unavailable(ended.reason).remedy(ended.remedy))?;
        admitted.map(|admitted| Admission(Box::new(admitted))).map_err(|refusal| {
            if refusal.status == 401 {
                tracing::warn!(read = %post.source, "a post was refused: its key is missing or wrong");
            }
            refused(refusal)
        })
    }

    /// Takes a post; the answer is given once what it brought is durable.
    pub(crate) fn take(&self, post: &Post, admission: Admission, body: &[u8]) -> Result<Taken, Problem> {
        let hook = self.hook(post)?;
        let admitted = admission.0.downcast::<Admitted>();
        let admitted = admitted.map_err(|_| Problem::fault("a post was let in by somebody else"))?;
        let now = clock::now();
        let opened = hook.door.open(&admitted, &head(post), body, now).map_err(failed)?;
        let opened = opened.map_err(|refusal| {
            let first = refusal.problems.first().map(|problem| problem.cause.as_str()).unwrap_or_default();
            tracing::warn!(read = %post.source, by = %admitted.caller(), "a post was refused: {first}");
            refused(refusal)
        })?;
        if opened.body.len() > PAGE_MAX_BYTES {
            return Err(Problem::too_large(format!("at most {PAGE_MAX_BYTES} bytes are taken at once"))
                .remedy("send fewer objects at once"));
        }
        let items = self.connectors.posted(&hook.system, &hook.read, &opened.body, now);
        let items = items.map_err(|cause| {
            tracing::warn!(read = %post.source, by = %admitted.caller(), "a post was refused: {cause}");
            Problem::content(cause).remedy("send what the read expects, or correct `webhook` of the read")
        })?;
        let id = opened.id.as_deref();
        let told = hook.posted.take(id, &opened.body, items.unwrap_or_default(), now).map_err(|error| match error {
            NotTaken::OtherBody => Problem::content("this id stands for another post, one with another body")
                .remedy("give each post an id of its own, and send a repeat unchanged"),
            NotTaken::UnderWay => Problem::conflict("a post with this id is under way")
                .remedy("wait for its answer, then ask again")
                .header("retry-after", "1"),
            NotTaken::Store(error) => Problem::unavailable(format!("nothing was taken: {error}"))
                .remedy("send the same again later")
                .header("retry-after", "1"),
        })?;
        if admitted.caller() == &Caller::Signature || !told.set_aside.is_empty() {
            tracing::debug!(read = %post.source, changed = told.changed, aside = told.set_aside.len(), "posted");
        }
        let answer = ObjectsTold { changed: told.changed, same: told.same, set_aside: told.set_aside };
        Ok(Taken { answer: json!(answer), replayed: told.replayed })
    }

    fn hook(&self, post: &Post) -> Result<&Hook, Problem> {
        self.hooks.get(&post.source).ok_or_else(|| {
            let known: Vec<&str> = self.hooks.keys().map(String::as_str).collect();
            let remedy = match known.as_slice() {
                [] => "give a read in systems/ a `webhook`".to_owned(),
                known => format!("reads that are posted to: {}", known.join(", ")),
            };
            Problem::not_found(format!("no read {:?} of the project takes posts", post.source)).remedy(remedy)
        })
    }
}
