-- A revision can be gone back to, labelled, confirmed, and in the end forgotten.

-- Without its reference to a revision: those that are long past are removed.
CREATE TABLE resource_now (
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  position INTEGER NOT NULL,
  body     BLOB NOT NULL,
  revision INTEGER NOT NULL,              -- that wrote it last
  PRIMARY KEY (kind, id)
) STRICT;
INSERT INTO resource_now SELECT kind, id, position, body, revision FROM resource;
DROP TABLE resource;
ALTER TABLE resource_now RENAME TO resource;

ALTER TABLE revision ADD COLUMN digest BLOB;                     -- BLAKE2b-256 of all resources as it left them; NULL: older than this step
ALTER TABLE revision ADD COLUMN label TEXT NOT NULL DEFAULT '';

-- All resources of a labelled revision: it can be gone back to when the changes since then are forgotten.
CREATE TABLE kept (
  revision INTEGER NOT NULL REFERENCES revision (number),
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  position INTEGER NOT NULL,
  body     BLOB NOT NULL,
  PRIMARY KEY (revision, kind, id)
) STRICT;

-- Revisions that are undone unless somebody confirms them.
CREATE TABLE confirmation (
  revision    INTEGER PRIMARY KEY REFERENCES revision (number),
  timeout_s   INTEGER NOT NULL,
  deadline_ns INTEGER NOT NULL,           -- wall clock
  state       TEXT NOT NULL,              -- PENDING, CONFIRMED, UNDONE, FAILED
  reason      TEXT NOT NULL               -- of FAILED: why it could not be undone
) STRICT;
