CREATE TABLE handles (
    handle           TEXT PRIMARY KEY NOT NULL, -- qualified: name@home
    primary_key      BLOB NOT NULL UNIQUE CHECK (length(primary_key) = 32),
    registered_at_ms INTEGER NOT NULL,
    retired_at_ms    INTEGER, -- a tombstone: the handle is never given again
    blocked_at_ms    INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
