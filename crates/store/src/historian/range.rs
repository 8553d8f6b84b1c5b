//! Samples of a signal by time, and stretches of it for charts, from the log and from sealed files as one answer.
