//! The surface others rely on: one trait, its types, its versions.
