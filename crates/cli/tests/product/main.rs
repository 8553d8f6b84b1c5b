//! The product as its users meet it: real processes, a real broker, real HTTP, the kernel's own view.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, reason = "a test fails where it stands")]

mod adapter;
mod alarms;
mod backup;
mod bad_input;
mod breaker;
mod confirmation;
mod decisions;
mod demo;
mod disk;
mod doctor;
mod erp_down;
mod exceptions;
mod folder;
mod guide;
mod history;
mod listener;
mod notices;
mod overload;
mod posts;
mod reads;
mod runs;
mod secrecy;
mod story;
mod support;
mod surface;
mod syscalls;
mod taxonomy;
mod upgrade;
mod who_answers;
mod why;
