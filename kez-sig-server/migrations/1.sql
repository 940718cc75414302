-- What the next event of a chain is checked against, so that an append walks nothing.
CREATE TABLE chains (
    id             INTEGER PRIMARY KEY,
    owner          BLOB    NOT NULL UNIQUE CHECK (length(owner) = 32),
    seq            INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 100000),
    head           BLOB    NOT NULL CHECK (length(head) = 32),
    retired        INTEGER NOT NULL CHECK (retired IN (0, 1)),
    shared_version INTEGER,
    -- When the last set_shared_files was taken, in milliseconds since 1970 by this server's clock.
    shared_at_ms   INTEGER
) STRICT;

-- Every event as it came, in the place that it has for ever.
CREATE TABLE events (
    chain INTEGER NOT NULL REFERENCES chains (id),
    seq   INTEGER NOT NULL CHECK (seq >= 1),
    head  BLOB    NOT NULL CHECK (length(head) = 32),
    jws   TEXT    NOT NULL,
    PRIMARY KEY (chain, seq)
) STRICT;
