-- Containers that golden archives are taken of: every good backup of one is an image that guests are provisioned from.
CREATE TABLE golden (
    vmid INTEGER PRIMARY KEY,
    template TEXT NOT NULL,
    features TEXT NOT NULL,
    made_ms INTEGER NOT NULL
) STRICT;
