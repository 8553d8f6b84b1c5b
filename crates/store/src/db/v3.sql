-- Revisions of the context: one for each time somebody told what they know, also where it was nothing new, so that
-- the age of what is known is known. `of`: who told it; `changed`: whether it was anything new.
CREATE TABLE context_revisions (
    revision INTEGER PRIMARY KEY,
    at INTEGER NOT NULL, of TEXT NOT NULL, changed INTEGER NOT NULL,
    row TEXT NOT NULL
) STRICT;
CREATE INDEX context_revisions_of ON context_revisions (of, revision);

-- Versions of objects, each with the revision of the context that brought it. `since` and `until` bound its validity,
-- null where it is open; `newest` marks the last version of each object.
CREATE TABLE objects (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, type TEXT NOT NULL, number TEXT NOT NULL, revision INTEGER NOT NULL,
    known INTEGER NOT NULL, since INTEGER, until INTEGER, newest INTEGER NOT NULL, origin TEXT NOT NULL,
    row TEXT NOT NULL,
    UNIQUE (site, type, number, revision)
) STRICT;
CREATE INDEX objects_revision ON objects (revision);

-- Where a version holds: `asset/<name>` or `line/<name>`.
CREATE TABLE object_places (
    site TEXT NOT NULL, place TEXT NOT NULL, no INTEGER NOT NULL, PRIMARY KEY (site, place, no)
) STRICT, WITHOUT ROWID;

-- The events of a thing in an interval: those that a correction touches, those that a report counts.
CREATE INDEX events_subject ON events (site, subject, time);

-- Facts of event types that name a match: one row for each origin that tells one, with the interval it tells; `until`
-- is null while it tells no end. `report`: its first event; `confirms`: the fact that another origin told before,
-- whose first event is in the event log.
CREATE TABLE facts (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, origin TEXT NOT NULL, story TEXT NOT NULL,
    report TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER, confirms INTEGER
) STRICT;
CREATE INDEX facts_about ON facts (site, type, subject, origin, since);
CREATE INDEX facts_story ON facts (site, story);
CREATE INDEX facts_confirms ON facts (confirms) WHERE confirms IS NOT NULL;

-- Reports that confirm an event instead of being one. `fact`: the fact of the event; `mine`: that of the report.
CREATE TABLE confirmations (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, id TEXT NOT NULL,
    event TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, origin TEXT NOT NULL,
    fact INTEGER NOT NULL, mine INTEGER NOT NULL,
    row TEXT NOT NULL,
    UNIQUE (site, id)
) STRICT;
CREATE INDEX confirmations_event ON confirmations (site, event);
