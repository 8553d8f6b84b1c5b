//! Sources that are posted to.

use super::Secret;

/// An HTTP source.
#[derive(Debug, Clone)]
pub struct HttpSource {
    /// The bearer token that callers must show, where one is asked for.
    pub token: Option<Secret>,
}
