-- Passes of `run --once`, the last ones of them. `exit` is null while one goes on, and for ever of one that was cut off.
CREATE TABLE passes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    exit INTEGER,
    document TEXT
) STRICT;

-- When a pass had a backup server verify what was due on it, and whether the verify came to its end.
CREATE TABLE server_passes (
    storage TEXT NOT NULL,
    ended_ms INTEGER NOT NULL,
    good INTEGER NOT NULL,
    PRIMARY KEY (storage, ended_ms)
) STRICT;
