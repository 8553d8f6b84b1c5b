//! The way in, before anything of a body is read: who asks, and whether there is room for one more.

use super::{Caller, Head, HttpIngest, Refusal, body::Form};
use crate::mqtt::Ended;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

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
