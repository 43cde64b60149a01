-- What is wrong and was told, or would be if there were a channel. `closed_ms`: since when it is not open any more.
CREATE TABLE incidents (
    number INTEGER PRIMARY KEY,
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    headline TEXT NOT NULL,
    detail TEXT NOT NULL,
    remedy TEXT,
    opened_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    told_ms INTEGER NOT NULL,
    notices INTEGER NOT NULL,
    closed_ms INTEGER
) STRICT;

CREATE UNIQUE INDEX one_open_incident ON incidents (code, subject) WHERE closed_ms IS NULL;

-- What is to be told of an incident. The id names it for good, also to whoever receives it.
CREATE TABLE notices (
    id TEXT PRIMARY KEY,
    incident INTEGER NOT NULL REFERENCES incidents (number) ON DELETE CASCADE,
    event TEXT NOT NULL,
    severity TEXT NOT NULL,
    headline TEXT NOT NULL,
    detail TEXT NOT NULL,
    remedy TEXT,
    opened_ms INTEGER NOT NULL,
    made_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX notices_of_an_incident ON notices (incident);

-- What became of a notice on a channel. `begun_ms`: it may have left, and nobody knows whether it arrived.
CREATE TABLE deliveries (
    notice TEXT NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER NOT NULL,
    begun_ms INTEGER,
    error TEXT,
    delivered_ms INTEGER,
    given_up_ms INTEGER,
    PRIMARY KEY (notice, channel)
) STRICT;

CREATE INDEX open_deliveries ON deliveries (channel) WHERE delivered_ms IS NULL AND given_up_ms IS NULL;
