//! What a doctor looks at: whether what is stored is whole, and whether it belongs together.

mod passed;

pub use passed::Passed;
