//! What the layers take as arguments and the operating system has: chance and the environment.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What stands before the environment.
static GIVEN: RwLock<BTreeMap<String, String>> = RwLock::new(BTreeMap::new());

/// Random bytes from the operating system.
pub fn chance(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// The environment, and before it what the program has given itself.
pub fn env() -> andon_edge::given::Env {
    Arc::new(variable)
}

/// Variables that this process has from now on, whatever its environment says: a program that knows where its systems
/// are need not be started by another one that tells it.
pub fn give(variables: BTreeMap<String, String>) {
    *GIVEN.write().unwrap_or_else(PoisonError::into_inner) = variables;
}

/// A variable of this process.
pub(crate) fn variable(name: &str) -> Option<String> {
    let given = GIVEN.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    given.or_else(|| std::env::var(name).ok())
}

/// One in so many of the files that the process may have open is for a connection of the API.
const FILES_OF_API: u64 = 4;

/// Connections the API serves: the rest of the files that the process may have open are for sources and the store.
pub(crate) fn connections() -> usize {
    use andon_api::doors::CONNECTIONS_MAX;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    files.map_or(CONNECTIONS_MAX, |files| usize::try_from(files / FILES_OF_API).unwrap_or(CONNECTIONS_MAX))
}
