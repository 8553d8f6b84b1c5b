//! The real loops in one thread, over a store that crashes, from one seed.
