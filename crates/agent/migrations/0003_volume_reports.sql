-- The latest report on the Docker volumes of a guest, as the document that was taken up. It is of the guest with that
-- fingerprint, and of no other that is given the VMID later.
CREATE TABLE volume_reports (
    vmid INTEGER PRIMARY KEY,
    taken_ms INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    report TEXT NOT NULL
) STRICT;
