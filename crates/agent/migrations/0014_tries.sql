-- What passes tried and could not begin, so that no job of it is there to say so.
CREATE TABLE refused_work (
    work TEXT NOT NULL,
    ended_ms INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (work, ended_ms)
) STRICT;

-- How often in a row a job was gone on with by a process that was cut off before it could say what became of that. Written
-- before the job is gone on with, and gone as soon as somebody can say so.
CREATE TABLE resumptions (
    job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    times INTEGER NOT NULL
) STRICT;
