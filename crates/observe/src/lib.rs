//! Where a fact came from and what was done with it: computes findings, writes nothing.
