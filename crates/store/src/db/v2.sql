-- Files of samples (kind `samples`) and of one-minute summaries (kind `minutes`). What is not listed is not there:
-- a file counts from the transaction on that lists it, and until the one that removes it.
CREATE TABLE files (
    no INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, site TEXT NOT NULL, day TEXT NOT NULL, name TEXT NOT NULL, made INTEGER NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, newest_received INTEGER NOT NULL,
    first_signal TEXT NOT NULL, last_signal TEXT NOT NULL,
    first_epoch INTEGER NOT NULL, first_offset INTEGER NOT NULL,
    last_epoch INTEGER NOT NULL, last_offset INTEGER NOT NULL,
    UNIQUE (kind, site, day, name)
) STRICT;

-- One row: every entry of the log before this place is in the files, reduced, expired or no sample.
CREATE TABLE sealed (
    no INTEGER PRIMARY KEY CHECK (no = 1), epoch INTEGER NOT NULL, place INTEGER NOT NULL
) STRICT;

-- One row: what rules had not read of the log before this place, when a full disk took it, is counted as dropped.
CREATE TABLE missed (
    no INTEGER PRIMARY KEY CHECK (no = 1), epoch INTEGER NOT NULL, place INTEGER NOT NULL
) STRICT;

-- Samples that are no longer kept, and why: `reduced` by source, `expired` by site, `dropped` by source.
CREATE TABLE unkept (
    why TEXT NOT NULL, name TEXT NOT NULL, samples INTEGER NOT NULL, PRIMARY KEY (why, name)
) STRICT, WITHOUT ROWID;

-- How far files were taken in and which requests were answered: by source, in the source's own words.
-- `open`: the log is still needed from this place on.
CREATE TABLE intakes (
    no INTEGER PRIMARY KEY,
    source TEXT NOT NULL, of TEXT NOT NULL, epoch INTEGER NOT NULL, place INTEGER NOT NULL, open INTEGER NOT NULL,
    updated INTEGER NOT NULL, row TEXT NOT NULL,
    UNIQUE (source, of)
) STRICT;
CREATE INDEX intakes_open ON intakes (epoch, place) WHERE open = 1;
CREATE INDEX intakes_updated ON intakes (source, updated);

-- The last retained message of each topic of a listener.
CREATE TABLE retained (
    listener TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, properties BLOB NOT NULL,
    received INTEGER NOT NULL, expires INTEGER, site TEXT, PRIMARY KEY (listener, topic)
) STRICT, WITHOUT ROWID;
