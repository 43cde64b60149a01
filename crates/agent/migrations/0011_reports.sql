-- Host reports that were made, the newest few. `seq` never comes back: what counts is `host_report_sequence`, which outlives the rows.
CREATE TABLE host_reports (
    seq INTEGER PRIMARY KEY,
    taken_ms INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;

CREATE TABLE host_report_sequence (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO host_report_sequence (only_row, last) VALUES (1, 0);

-- The jobs that ended last are part of every report.
CREATE INDEX jobs_ended ON jobs (finished_ms) WHERE finished_ms IS NOT NULL;
