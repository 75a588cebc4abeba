-- Who may come in. Outside the configuration: rollback, export and restore never touch it.
CREATE TABLE secret (
  name       TEXT PRIMARY KEY,            -- "first-login"
  hash       TEXT NOT NULL,               -- Argon2id, libsodium's string form
  created_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
  hash       BLOB PRIMARY KEY,            -- BLAKE2b-256 of the token; 256 random bits need no slow hash
  created_ns INTEGER NOT NULL,
  expires_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
