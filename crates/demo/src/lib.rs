//! The machines and offices of the example projects.
