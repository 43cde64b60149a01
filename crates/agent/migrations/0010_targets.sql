-- Targets on removable disks. What tells a disk apart is kept by root's own record; this is what the agent remembers.
-- `attached_ms`: when its disk was last seen; `ejected_ms`: since when somebody wants it to be away; `away`: whether it has been away since.
CREATE TABLE targets (
    name TEXT PRIMARY KEY,
    uuid TEXT NOT NULL,
    serial TEXT,
    mount_point TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    attached_ms INTEGER,
    ejected_ms INTEGER,
    away INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Pins of the certificate that were learned over a connection pinned to the one before, and what became of them.
-- `taken_ms`: since when it is the pin; `written`: whether the configuration names it, or a later one.
CREATE TABLE pins (
    seq INTEGER PRIMARY KEY,
    former TEXT NOT NULL,
    next TEXT NOT NULL,
    learned_ms INTEGER NOT NULL,
    how TEXT NOT NULL,
    taken_ms INTEGER,
    written INTEGER NOT NULL DEFAULT 0
) STRICT;
