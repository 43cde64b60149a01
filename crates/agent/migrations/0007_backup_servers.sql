-- What verifies of ours found, one row a snapshot and job. `finished_ms` is our clock; the report says which task it was.
CREATE TABLE verifications (
    job TEXT NOT NULL REFERENCES jobs (id),
    storage TEXT NOT NULL,
    namespace TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    verdict TEXT NOT NULL,
    finished_ms INTEGER NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (job, snapshot)
) STRICT;
CREATE INDEX verifications_by_snapshot ON verifications (storage, namespace, snapshot, finished_ms);
-- Recovery kits, one a storage and key: who said when that it is stored off the box.
CREATE TABLE kits (
    storage TEXT NOT NULL,
    key_fingerprint TEXT NOT NULL,
    stored_ms INTEGER,
    stored_by TEXT,
    PRIMARY KEY (storage, key_fingerprint)
) STRICT;
