-- Keys of business rows begin with the site. `sites` holds the few there are, so that an id alone finds its row by
-- one look per site and needs no second index. `row` is the row as JSON; the columns before it are what is searched.
CREATE TABLE sites (site TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    site TEXT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, subject TEXT NOT NULL, key TEXT NOT NULL, time INTEGER NOT NULL, recorded INTEGER NOT NULL,
    correlation TEXT NOT NULL,
    row TEXT NOT NULL,
    UNIQUE (site, id)
) STRICT;
-- The events of one story; an event that is its own story is found by its id.
CREATE INDEX events_correlation ON events (site, correlation) WHERE correlation <> id;

CREATE TABLE evidence (sequence INTEGER PRIMARY KEY, row TEXT NOT NULL) STRICT;

CREATE TABLE rule_states (
    no INTEGER PRIMARY KEY, rule TEXT NOT NULL, asset TEXT NOT NULL, row TEXT NOT NULL, UNIQUE (rule, asset)
) STRICT;

CREATE TABLE cursors (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, place INTEGER NOT NULL) STRICT;

CREATE TABLE runs (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, id TEXT NOT NULL,
    workflow TEXT NOT NULL, event TEXT, state TEXT NOT NULL, due INTEGER,
    row TEXT NOT NULL,
    UNIQUE (site, id)
) STRICT;
CREATE INDEX runs_event ON runs (site, event) WHERE event IS NOT NULL;
CREATE INDEX runs_state ON runs (state, due);

CREATE TABLE tasks (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, run TEXT NOT NULL, pointer TEXT NOT NULL, iteration TEXT NOT NULL,
    row TEXT NOT NULL,
    UNIQUE (site, run, pointer, iteration)
) STRICT;

CREATE TABLE calls (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, id TEXT NOT NULL,
    run TEXT NOT NULL, reference TEXT NOT NULL, capability TEXT NOT NULL, system TEXT, state TEXT NOT NULL,
    document TEXT, due INTEGER,
    row TEXT NOT NULL,
    UNIQUE (site, id)
) STRICT;
CREATE INDEX calls_run ON calls (site, run);
CREATE INDEX calls_reference ON calls (site, reference);
CREATE INDEX calls_document ON calls (site, document) WHERE document IS NOT NULL;
CREATE INDEX calls_state ON calls (state, due);

CREATE TABLE attempts (
    no INTEGER PRIMARY KEY,
    site TEXT NOT NULL, call TEXT NOT NULL, number INTEGER NOT NULL,
    system TEXT NOT NULL, class TEXT,
    row TEXT NOT NULL,
    UNIQUE (site, call, number)
) STRICT;
CREATE INDEX attempts_class ON attempts (class);

-- An exception may have no site; the same cause is the same exception, so its id alone is the key.
CREATE TABLE exceptions (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE, site TEXT,
    kind TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, source TEXT, run TEXT, call TEXT,
    row TEXT NOT NULL
) STRICT;
CREATE INDEX exceptions_site ON exceptions (site) WHERE site IS NOT NULL;
CREATE INDEX exceptions_state ON exceptions (state);
CREATE INDEX exceptions_run ON exceptions (run) WHERE run IS NOT NULL;

CREATE TABLE quarantine (
    no INTEGER PRIMARY KEY,
    exception TEXT NOT NULL, received INTEGER NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, detail TEXT NOT NULL,
    row TEXT NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_exception ON quarantine (exception);

-- `files` is gzip of one JSON object: path to content.
CREATE TABLE contracts (
    no INTEGER PRIMARY KEY,
    revision TEXT NOT NULL UNIQUE, activated INTEGER NOT NULL, active INTEGER NOT NULL,
    row TEXT NOT NULL, files BLOB NOT NULL
) STRICT;

CREATE TABLE gaps (
    no INTEGER PRIMARY KEY,
    source TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, reason TEXT NOT NULL,
    row TEXT NOT NULL,
    UNIQUE (source, since, until, reason)
) STRICT;

CREATE TABLE sources (no INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, row TEXT NOT NULL) STRICT;

-- The number of a signal is given once and never reused.
CREATE TABLE signals (no INTEGER PRIMARY KEY, asset TEXT NOT NULL, signal TEXT NOT NULL, UNIQUE (asset, signal)) STRICT;
