//! Samples and context become canonical events.
