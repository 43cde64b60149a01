-- The journal of one installation. What is written here is durable before the world is changed.
CREATE TABLE installation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    id TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- A job is a value: `state` is all that is needed to go on with it.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    finished_ms INTEGER
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (created_ms) WHERE finished_ms IS NULL;

-- One row per step, written before it is performed; the outcome comes in later. Payloads stay in the job's state, so that
-- what a guest's notes or logs say is not kept for longer than the job needs it.
CREATE TABLE steps (
    job TEXT NOT NULL REFERENCES jobs (id),
    seq INTEGER NOT NULL,
    step TEXT NOT NULL,
    principal TEXT NOT NULL,
    mutation INTEGER NOT NULL,
    intent_ms INTEGER NOT NULL,
    outcome TEXT,
    outcome_ms INTEGER,
    PRIMARY KEY (job, seq)
) STRICT;

CREATE TABLE backups (
    job TEXT PRIMARY KEY REFERENCES jobs (id),
    vmid INTEGER NOT NULL,
    volid TEXT,
    verdict TEXT NOT NULL,
    finished_ms INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX backups_by_guest ON backups (vmid, finished_ms);
CREATE INDEX backups_by_volid ON backups (volid);

CREATE TABLE restore_tests (
    job TEXT PRIMARY KEY REFERENCES jobs (id),
    vmid INTEGER,
    volid TEXT NOT NULL,
    verdict TEXT NOT NULL,
    finished_ms INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX tests_by_guest ON restore_tests (vmid, finished_ms);

-- Scratch guests that a finished job could not remove.
CREATE TABLE remains (
    vmid INTEGER PRIMARY KEY,
    mark TEXT NOT NULL,
    restore_upid TEXT,
    destroy_upid TEXT,
    since_ms INTEGER NOT NULL,
    finding TEXT NOT NULL
) STRICT;
