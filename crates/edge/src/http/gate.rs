//! The way in, before anything of a body is read: who asks, and whether there is room for one more.

use super::{
    Caller, Head, HttpIngest, Refusal,
    body::{self, Form},
    keys, repeat,
    samples::{Failed, Stop},
};
use crate::{
    given::{Chance, Env, draw_key},
    mqtt::Ended,
};
use andon_contract::contract::HttpSource;
use andon_model::Time;
use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Who may come in, and how many at once.
pub struct Door {
    pub(super) http: HttpSource,
    keys: keys::Keys,
    pub(super) env: Env,
    slots: Arc<AtomicUsize>,
    /// Those of the places that are taken by posts whose signature is not known to be right.
    unproven: Arc<AtomicUsize>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("posts", &self.http.posts).finish_non_exhaustive()
    }
}

/// A body that somebody who may brought, and the name under which a repeat of it is known.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Of a webhook its id, else the `Idempotency-Key` of who sent it.
    pub id: Option<String>,
    /// The body without its compression.
    pub body: Cow<'a, [u8]>,
}

/// A request that may come in; it takes a place until it is dropped.
#[derive(Debug)]
pub struct Admitted {
    pub(super) caller: Caller,
    pub(super) form: Form,
    _slots: (Slot, Option<Slot>),
}

impl Admitted {
    /// Who asks; a signature is only known to be right once the body was read.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

#[derive(Debug)]
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl HttpIngest {
    /// Lets a request in, or says why not; an error when no secret can be read that would decide it.
    pub fn admit(&self, head: &Head<'_>) -> Result<Result<Admitted, Refusal>, Ended> {
        self.door.admit(head)
    }
}

impl Door {
    /// A door with these keys.
    pub fn new(http: HttpSource, env: Env, chance: &mut Chance) -> Self {
        let keys = keys::Keys::new(draw_key(chance));
        Self { http, keys, env, slots: Arc::default(), unproven: Arc::default() }
    }

    /// What somebody who was let in brought; only now a signature is looked at. A body that is no JSON document by its
    /// type is refused.
    pub fn open<'a>(
        &self,
        admitted: &Admitted,
        head: &Head<'_>,
        sent: &'a [u8],
        now: Time,
    ) -> Result<Result<Opened<'a>, Refusal>, Failed> {
        let open = || -> Result<Opened<'a>, Stop> {
            let webhook = self.webhook(admitted, head, sent, now)?;
            let id = repeat::name(webhook, admitted, head)?;
            if admitted.form != Form::Json {
                return Err(
                    Refusal::new(415, "this is no JSON document", "send `Content-Type: application/json`").into()
                );
            }
            Ok(Opened { id, body: body::decode(head.one("content-encoding")?, sent)? })
        };
        match open() {
            Ok(opened) => Ok(Ok(opened)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(failed)) => Err(failed),
        }
    }

    /// The id of a webhook, where a signature lets in.
    pub(super) fn webhook<'h>(
        &self,
        admitted: &Admitted,
        head: &Head<'h>,
        sent: &[u8],
        now: Time,
    ) -> Result<Option<&'h str>, Stop> {
        let (Caller::Signature, Some(signature)) = (&admitted.caller, &self.http.signature) else { return Ok(None) };
        Ok(Some(keys::verify(signature, head, sent, now, &self.env)??))
    }

    /// Lets a request in, or says why not; an error when no secret can be read that would decide it.
    pub fn admit(&self, head: &Head<'_>) -> Result<Result<Admitted, Refusal>, Ended> {
        let caller = match self.keys.caller(&self.http, head, &self.env)? {
            Ok(caller) => caller,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let form = match Form::of(head) {
            Ok(form) => form,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !head.query.is_empty() {
            let cause = format!("nothing is asked by `?{}`", crate::problem::quote(head.query));
            let refusal = Refusal::new(400, cause, "leave it out; a post is stored as a whole or not at all");
            return Ok(Err(refusal));
        }
        let before = self.slots.fetch_add(1, Ordering::AcqRel);
        let slot = Slot(self.slots.clone());
        // Whether a signature is right is known only behind the body. So that nobody without a secret takes all places
        // by bodies that never end, those with a key have half of them for themselves.
        let has_keys = self.http.token.is_some() || !self.http.keys.is_empty();
        let (unproven, is_one_too_many) = if caller == Caller::Signature && has_keys {
            let before = self.unproven.fetch_add(1, Ordering::AcqRel);
            (Some(Slot(self.unproven.clone())), before >= self.http.posts.div_ceil(2))
        } else {
            (None, false)
        };
        if before >= self.http.posts || is_one_too_many {
            let cause = format!("{} posts of this source are under way", self.http.posts);
            let refusal = Refusal::new(429, cause, "send again later, or raise `posts` of the source");
            return Ok(Err(refusal.header("retry-after", "1")));
        }
        Ok(Ok(Admitted { caller, form, _slots: (slot, unproven) }))
    }
}
