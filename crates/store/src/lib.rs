//! Historian, event log, journal and read models.
