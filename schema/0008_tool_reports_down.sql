-- A tool that said that it is down is down after a restart, too.
ALTER TABLE tool_report ADD COLUMN down INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tool_report ADD COLUMN reason TEXT NOT NULL DEFAULT '';
-- A tool's token is worth as much as its maker.
UPDATE pass SET role = 'OPERATOR' WHERE port <> '';
