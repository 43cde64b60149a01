-- Findings that a person looked at and does not want to hear of until a day. An empty subject stands for all.
CREATE TABLE suppressions (
    code TEXT NOT NULL,
    subject TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (code, subject)
) STRICT;
