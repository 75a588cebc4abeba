-- Edits that are not in force yet: what each changes, and what that was when it was first touched.
CREATE TABLE draft (
  id         TEXT PRIMARY KEY,
  user       TEXT NOT NULL,               -- whose it is; no reference: a draft of somebody who is gone can still be committed by an admin
  comment    TEXT NOT NULL,
  created_ns INTEGER NOT NULL,
  changed_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE draft_change (
  draft  TEXT NOT NULL REFERENCES draft (id) ON DELETE CASCADE,
  kind   TEXT NOT NULL,
  id     TEXT NOT NULL,
  before BLOB,
  after  BLOB,
  position_before INTEGER,
  position_after  INTEGER,
  moved  INTEGER NOT NULL,                -- 1: to position_after, by hand
  PRIMARY KEY (draft, kind, id)
) STRICT;
