//! The command line of Andon.

fn main() {}
