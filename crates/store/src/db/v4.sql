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
