-- The configuration: what is in force, and how it came about. Every change makes exactly one revision.
CREATE TABLE revision (
  number     INTEGER PRIMARY KEY,
  created_ns INTEGER NOT NULL,            -- wall clock, nanoseconds since the Unix epoch
  author     TEXT NOT NULL,
  comment    TEXT NOT NULL
) STRICT;

-- Each resource as it is now. kind: the collection's name ("maps"), or "system".
CREATE TABLE resource (
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  position INTEGER NOT NULL,              -- order within its kind: maps are ordered
  body     BLOB NOT NULL,                 -- binary Protobuf of the model
  revision INTEGER NOT NULL REFERENCES revision (number),
  PRIMARY KEY (kind, id)
) STRICT;

-- What each revision changed. before or after is NULL where the resource came into being or ceased.
CREATE TABLE change (
  revision INTEGER NOT NULL REFERENCES revision (number),
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  before   BLOB,
  after    BLOB,
  position_before INTEGER,
  position_after  INTEGER,
  PRIMARY KEY (revision, kind, id)
) STRICT;
