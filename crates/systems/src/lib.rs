//! Turns a call into the dialect of a system of record and its answer into an outcome.
