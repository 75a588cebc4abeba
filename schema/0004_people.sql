-- Who may come in, as what. Outside the configuration: rollback, export and restore never touch it.
CREATE TABLE user (
  name                TEXT PRIMARY KEY,
  role                TEXT NOT NULL,      -- VIEWER, OPERATOR, ADMIN
  hash                TEXT NOT NULL,      -- of the password: Argon2id, libsodium's string form
  password_expires_ns INTEGER NOT NULL,   -- of a first password, which its user has to change; 0: is his own
  created_ns          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pass (
  hash       BLOB PRIMARY KEY,            -- BLAKE2b-256 of the token; 256 random bits need no slow hash
  id         TEXT NOT NULL UNIQUE,        -- what it is called by, for it can't be shown
  user       TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
  kind       TEXT NOT NULL,               -- LOGIN, COOKIE, TOKEN
  role       TEXT NOT NULL,               -- at most; the user's own may be less
  comment    TEXT NOT NULL,
  restricted INTEGER NOT NULL,            -- 1: came in with a first password, may only change it
  created_ns INTEGER NOT NULL,
  expires_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- There was one user, without a name, whose first secret was for good. It is a first password from now on.
INSERT INTO user SELECT 'admin', 'ADMIN', hash, 1, created_ns FROM secret WHERE name = 'first-login';
DROP TABLE secret;
DROP TABLE token;
