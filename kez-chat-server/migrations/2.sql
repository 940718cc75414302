-- Names that the operator keeps from being registered, beside the built-in ones.
CREATE TABLE reserved_names (
    name           TEXT PRIMARY KEY NOT NULL, -- bare
    reserved_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- People whose inbox and connections have to go: they retired, or the operator removed them. A row stays until the
-- broker has done it, so that neither a restart nor a broker that is away forgets anybody.
CREATE TABLE departures (
    primary_key BLOB PRIMARY KEY NOT NULL CHECK (length(primary_key) = 32),
    since_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
