-- Storages as they were when they were attached. Another one under the same name is told, and only a person takes it over.
-- `ejected_ms`: since when it may be away; `away`: whether it has been away since.
CREATE TABLE storages (
    id TEXT PRIMARY KEY,
    durable_id TEXT,
    first_seen_ms INTEGER NOT NULL,
    attached_ms INTEGER,
    ejected_ms INTEGER,
    away INTEGER NOT NULL DEFAULT 0,
    samples TEXT NOT NULL
) STRICT;
