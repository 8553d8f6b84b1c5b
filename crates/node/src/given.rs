//! What the layers take as arguments and the operating system has: chance and the environment.

use std::sync::Arc;

/// Random bytes from the operating system.
pub fn chance(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// The environment.
pub fn env() -> andon_edge::given::Env {
    Arc::new(|name| std::env::var(name).ok())
}
