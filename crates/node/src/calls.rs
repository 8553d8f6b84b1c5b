//! Carries attempts from the workflows to the connectors and their outcomes back, so that neither knows the other.

use crate::clock;
use andon_model::{
    Outcome, OutcomeClass,
    call::{CallRequest, Prepared},
};
use andon_store::Store;
use andon_systems::Connectors;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;
use tokio::runtime::Handle;

/// An attempt's outcome, on its way back.
pub(crate) struct Done {
    pub(crate) request: CallRequest,
    pub(crate) outcome: Outcome,
}

/// Sends attempts and collects outcomes. As many are under way as the workflows let out: the
/// limit of each system is theirs.
#[derive(Clone)]
pub(crate) struct Sender {
    connectors: Arc<Connectors>,
    runtime: Handle,
    store: Store,
    done: Arc<Mutex<Vec<Done>>>,
    under_way: Arc<AtomicUsize>,
}

impl Sender {
    pub(crate) fn new(connectors: Arc<Connectors>, runtime: Handle, store: Store) -> Self {
        Self { connectors, runtime, store, done: Arc::default(), under_way: Arc::default() }
    }

    /// Sends an attempt whose row is durable.
    pub(crate) fn send(&self, request: CallRequest, prepared: Prepared) {
        let this = self.clone();
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let flight = Flight { sender: this, request: Some(request), outcome: None };
        self.runtime.spawn(async move {
            if let Some(request) = &flight.request {
                let outcome = flight.sender.connectors.send(request, &prepared).await;
                flight.land(outcome);
            }
        });
    }

    /// Lets nothing more be sent, and waits until no attempt is under way, at most so long. Attempts that still wait
    /// for their turn come back at once, as not sent.
    pub(crate) fn wait(&self, at_most: Duration) {
        self.connectors.stop();
        let end = clock::monotonic().std() + at_most;
        loop {
            let seen = self.store.change_of_runs();
            let left = end.saturating_sub(clock::monotonic().std());
            if self.under_way.load(Ordering::Acquire) == 0 || left.is_zero() {
                return;
            }
            self.store.wait_runs(seen, left);
        }
    }

    /// The outcomes that have come since.
    pub(crate) fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An attempt under way. However it ends, its outcome comes back: a connector that ends by a fault of ours leaves one
/// that nobody knows, and never none at all.
struct Flight {
    sender: Sender,
    request: Option<CallRequest>,
    outcome: Option<Outcome>,
}

impl Flight {
    /// Its outcome is known.
    fn land(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome {
            sent: true,
            ..Outcome::not_sent(OutcomeClass::Unknown, "the connector ended by a fault of ours, which the log shows")
        });
        tracing::debug!(call = %request.call, attempt = request.attempt, class = %outcome.class, "attempt ended");
        let Sender { done, under_way, store, .. } = &self.sender;
        done.lock().unwrap_or_else(PoisonError::into_inner).push(Done { request, outcome });
        under_way.fetch_sub(1, Ordering::AcqRel);
        store.wake_runs();
    }
}
