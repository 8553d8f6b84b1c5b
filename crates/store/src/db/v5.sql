-- Exceptions of one cause share a fingerprint; those that have not ended are found by it in their order, and by the time
-- at which they are due. Their groups are counted in the commit that changes one of them.
ALTER TABLE exceptions ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE exceptions ADD COLUMN due INTEGER;
UPDATE exceptions SET fingerprint = coalesce(row ->> '$.fingerprint', ''),
    due = unixepoch(row ->> '$.due') * 1000000000;
CREATE INDEX exceptions_fingerprint ON exceptions (fingerprint, no);
CREATE INDEX exceptions_due ON exceptions (due) WHERE due IS NOT NULL;
CREATE INDEX exceptions_call ON exceptions (call) WHERE call IS NOT NULL;

CREATE TABLE exception_groups (
    no INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, site TEXT, owner TEXT NOT NULL, state TEXT NOT NULL,
    row TEXT NOT NULL
) STRICT;

-- Who did what, as a chain: `hash` is over the hash of the row before, the number and the text of the row. Its end is
-- kept beside it, so that rows missing at the end are missed.
CREATE TABLE audit (
    no INTEGER PRIMARY KEY,
    at INTEGER NOT NULL, actor TEXT NOT NULL, act TEXT NOT NULL, subject TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL, row TEXT NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit (subject);
CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 1), no INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;

-- What teams are told, until it is taken.
CREATE TABLE notices (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE, team TEXT NOT NULL, state TEXT NOT NULL, due INTEGER, row TEXT NOT NULL
) STRICT;
CREATE INDEX notices_due ON notices (due) WHERE due IS NOT NULL;

-- How systems fare: their breakers.
CREATE TABLE systems (no INTEGER PRIMARY KEY, system TEXT NOT NULL UNIQUE, row TEXT NOT NULL) STRICT;

-- What is processed alone after an unclean end.
CREATE TABLE in_process (
    part TEXT NOT NULL, item TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (part, item)
) STRICT, WITHOUT ROWID;
