//! Posted samples: read by layer 1, durable before the answer.

use andon_api::{Accepted, Ingest, Problem};
use andon_contract::Contract;
use andon_store::Store;

pub(crate) fn take(_contract: &Contract, _store: &Store, _ingest: &Ingest) -> Result<Accepted, Problem> {
    Err(Problem::unavailable("not yet"))
}
