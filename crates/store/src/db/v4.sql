-- A run that another one has started names it; runs that wait for a place of their workflow are found in their order.
ALTER TABLE runs ADD COLUMN parent TEXT;
CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX runs_queued ON runs (workflow, no) WHERE state = 'queued';

-- What waiting runs listen for: events of a type of a site (`*`: of any type) that have this value at `by`, a path in
-- the event; where `by` is empty, all of them.
CREATE TABLE listens (
    site TEXT NOT NULL, type TEXT NOT NULL, by TEXT NOT NULL, value TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (site, type, by, value, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX listens_run ON listens (run);
-- The events of a type, in their order: what came before a run began to listen.
CREATE INDEX events_type ON events (site, type);

-- Events that wait for others with which they start a run together, by order number.
CREATE TABLE gathers (
    site TEXT NOT NULL, workflow TEXT NOT NULL, key TEXT NOT NULL, slot INTEGER NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (site, workflow, key, slot, sequence)
) STRICT, WITHOUT ROWID;

-- How far the planned instants of workflows are done.
CREATE TABLE schedules (
    site TEXT NOT NULL, workflow TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (site, workflow)
) STRICT, WITHOUT ROWID;
-- What belongs to a run is found by the number of the run, what belongs to a call by that of the call. Numbers rise, so
-- that rows of what goes on at the same time lie together; an id touches a page of its own in every index it stands in.
-- A call's id is its reference, and needs one index less.
CREATE TABLE tasks_by_number (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, run INTEGER NOT NULL, pointer TEXT NOT NULL, iteration TEXT NOT NULL,
    row TEXT NOT NULL,
    UNIQUE (site, run, pointer, iteration)
) STRICT;
INSERT INTO tasks_by_number (no, site, run, pointer, iteration, row)
    SELECT tasks.no, tasks.site, runs.no, tasks.pointer, tasks.iteration, tasks.row
    FROM tasks JOIN runs ON runs.site = tasks.site AND runs.id = tasks.run ORDER BY tasks.no;
DROP TABLE tasks;
ALTER TABLE tasks_by_number RENAME TO tasks;

CREATE TABLE calls_by_number (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, id TEXT NOT NULL,
    run INTEGER NOT NULL, capability TEXT NOT NULL, system TEXT, state TEXT NOT NULL,
    document TEXT, due INTEGER,
    row TEXT NOT NULL,
    UNIQUE (site, id)
) STRICT;
INSERT INTO calls_by_number (no, site, id, run, capability, system, state, document, due, row)
    SELECT calls.no, calls.site, 'ca_' || calls.reference, runs.no, calls.capability, calls.system, calls.state,
        calls.document, calls.due, json_set(calls.row, '$.id', 'ca_' || calls.reference)
    FROM calls JOIN runs ON runs.site = calls.site AND runs.id = calls.run ORDER BY calls.no;

CREATE TABLE attempts_by_number (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, call INTEGER NOT NULL, number INTEGER NOT NULL,
    system TEXT NOT NULL, class TEXT,
    row TEXT NOT NULL,
    UNIQUE (site, call, number)
) STRICT;
INSERT INTO attempts_by_number (no, site, call, number, system, class, row)
    SELECT attempts.no, attempts.site, calls.no, attempts.number, attempts.system, attempts.class,
        json_set(attempts.row, '$.call', 'ca_' || calls.reference)
    FROM attempts JOIN calls ON calls.site = attempts.site AND calls.id = attempts.call ORDER BY attempts.no;
DROP TABLE attempts;
ALTER TABLE attempts_by_number RENAME TO attempts;

UPDATE exceptions
    SET call = 'ca_' || calls.reference, row = json_set(exceptions.row, '$.call', 'ca_' || calls.reference)
    FROM calls WHERE exceptions.call IS NOT NULL AND calls.id = exceptions.call;
DROP TABLE calls;
ALTER TABLE calls_by_number RENAME TO calls;

CREATE INDEX calls_run ON calls (site, run);
CREATE INDEX calls_document ON calls (site, document) WHERE document IS NOT NULL;
CREATE INDEX calls_state ON calls (state, due);
CREATE INDEX attempts_class ON attempts (class);
