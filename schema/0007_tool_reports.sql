-- A tool's own token, which reports the health of one port and does nothing else: the port's id. And which tools have reported, so that one
-- that hangs while the appliance restarts is missed: the port's id, and for how long each word holds.
ALTER TABLE pass ADD COLUMN port TEXT NOT NULL DEFAULT '';
CREATE TABLE tool_report (
  port         TEXT PRIMARY KEY,
  milliseconds INTEGER NOT NULL
) STRICT;
