-- Guarded changes: what must be known to confirm or roll back, and to remove the snapshot. A row stays when its guard has
-- ended, with the way it ended.
CREATE TABLE guards (
    job TEXT PRIMARY KEY REFERENCES jobs (id),
    vmid INTEGER NOT NULL,
    snapshot TEXT NOT NULL,
    guard TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    ended_as TEXT
) STRICT;
-- One open guard a guest: which snapshot to go back to is never a question.
CREATE UNIQUE INDEX guards_open ON guards (vmid) WHERE ended_ms IS NULL;
