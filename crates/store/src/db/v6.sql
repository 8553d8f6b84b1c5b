-- Restores of the folder from a backup, each with what it held: work up to there may have been done meanwhile.
CREATE TABLE restores (epoch INTEGER PRIMARY KEY, at INTEGER NOT NULL, row TEXT NOT NULL) STRICT;
