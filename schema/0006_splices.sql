-- A long body of which a revision changed little is not written anew: the change says what stands between the bytes that stay, and the
-- resource keeps the body that was written whole last. What is short comes before what is long, so that it can be read alone.
CREATE TABLE change_now (
  revision INTEGER NOT NULL REFERENCES revision (number),
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  position_before INTEGER,
  position_after  INTEGER,
  head     INTEGER,                       -- NULL: before and after are whole bodies; else: bytes at the beginning that stay
  tail     INTEGER,                       -- and those at the end; before and after are what stands between them
  before   BLOB,
  after    BLOB,
  PRIMARY KEY (revision, kind, id)
) STRICT;
INSERT INTO change_now SELECT revision, kind, id, position_before, position_after, NULL, NULL, before, after FROM change;
DROP TABLE change;
ALTER TABLE change_now RENAME TO change;
