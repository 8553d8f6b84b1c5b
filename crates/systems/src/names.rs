//! What systems call our things, as expressions ask for it at the moment of an attempt or a poll.

use andon_contract::contract::NamesAt;

/// The identifiers of a contract at a moment.
pub(crate) type Names<'a> = NamesAt<'a>;
