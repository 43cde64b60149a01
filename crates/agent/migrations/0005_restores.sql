-- Restores that stay. `vmid` is the guest that was made, `source` the one that was backed up.
CREATE TABLE restores (
    job TEXT PRIMARY KEY REFERENCES jobs (id),
    vmid INTEGER NOT NULL,
    source INTEGER,
    volid TEXT NOT NULL,
    ending TEXT NOT NULL,
    finished_ms INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX restores_by_guest ON restores (vmid, finished_ms);
CREATE INDEX restores_by_source ON restores (source, finished_ms);
