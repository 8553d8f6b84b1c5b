//! Talks to machines and writes what they say to the historian.
