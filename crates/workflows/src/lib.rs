//! Durable runs and calls: one pure step, everything else feeds it.
