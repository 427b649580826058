-- Old lines of the audit log may go once they were exported: up to a line whose number and hash are kept here.

CREATE TABLE audit_segments (
    last_line INTEGER PRIMARY KEY,
    -- The hash of that line, which the next one in the log follows.
    hash BLOB NOT NULL,
    first_line INTEGER NOT NULL,
    -- Where the lines were exported to, and SHA-256 of that file.
    file TEXT NOT NULL,
    digest BLOB NOT NULL,
    sealed_us INTEGER NOT NULL
) STRICT;

-- From here on, each database has words of its own.

-- Segments follow one another, end at a line of the log with its hash, and leave at least one line in it.
CREATE TRIGGER audit_segment_in_order BEFORE INSERT ON audit_segments
WHEN NEW.first_line <> COALESCE((SELECT MAX(last_line) FROM audit_segments), 0) + 1
  OR NEW.last_line < NEW.first_line
  OR NEW.last_line >= (SELECT COALESCE(MAX(sequence), 0) FROM audit)
  OR NOT EXISTS (SELECT 1 FROM audit WHERE sequence = NEW.last_line AND hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'a segment of the audit log follows the last one and ends at a line of the log'); END;

CREATE TRIGGER audit_segment_not_changed BEFORE UPDATE ON audit_segments
BEGIN SELECT RAISE(ABORT, 'segments of the audit log are never changed'); END;

CREATE TRIGGER audit_segment_not_deleted BEFORE DELETE ON audit_segments
BEGIN SELECT RAISE(ABORT, 'segments of the audit log are never deleted'); END;

DROP TRIGGER audit_not_deleted;

CREATE TRIGGER audit_not_deleted BEFORE DELETE ON audit
WHEN OLD.sequence > COALESCE((SELECT MAX(last_line) FROM audit_segments), 0)
BEGIN SELECT RAISE(ABORT, 'lines of the audit log are never deleted before they were sealed'); END;
