-- The audit log becomes a chain that can be checked, and that the database itself refuses to change.

-- The key and the login session that somebody came with, and from where.
ALTER TABLE audit ADD COLUMN credential BLOB;
ALTER TABLE audit ADD COLUMN login BLOB;
ALTER TABLE audit ADD COLUMN address TEXT;
-- What was before; `details` is what is after.
ALTER TABLE audit ADD COLUMN was TEXT;
-- The hash of the line before, and its own: SHA-256 of that one, the sequence, and SHA-256 of all other columns (the
-- store's audit_chain.rs says how). Lines from before this migration have none.
ALTER TABLE audit ADD COLUMN previous BLOB;
ALTER TABLE audit ADD COLUMN hash BLOB;

-- Locked by whatever adds a line, and by nothing else.
INSERT INTO counters (organization, sequence, pruned) VALUES (X'00000000000000000000000000000002', 0, 0);

-- From here on, each database has words of its own.

CREATE TRIGGER audit_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'lines of the audit log are never changed'); END;

CREATE TRIGGER audit_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'lines of the audit log are never deleted'); END;

-- Also against INSERT OR REPLACE, which deletes without asking the trigger above.
CREATE TRIGGER audit_in_order BEFORE INSERT ON audit
WHEN NEW.hash IS NULL OR NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit)
BEGIN SELECT RAISE(ABORT, 'a line of the audit log follows the last one'); END;
