-- Old lines of the audit log may go once they were exported: up to a line whose number and hash are kept here.

CREATE TABLE audit_segments (
    last_line BIGINT PRIMARY KEY,
    -- The hash of that line, which the next one in the log follows.
    hash BYTEA NOT NULL,
    first_line BIGINT NOT NULL,
    -- Where the lines were exported to, and SHA-256 of that file.
    file TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    sealed_us BIGINT NOT NULL
);

-- From here on, each database has words of its own.

-- Segments follow one another, end at a line of the log with its hash, and leave at least one line in it.
CREATE FUNCTION audit_segment_ordered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.first_line <> (SELECT COALESCE(MAX(last_line), 0) + 1 FROM audit_segments)
       OR NEW.last_line < NEW.first_line
       OR NEW.last_line >= (SELECT COALESCE(MAX(sequence), 0) FROM audit)
       OR NOT EXISTS (SELECT 1 FROM audit WHERE sequence = NEW.last_line AND hash = NEW.hash) THEN
        RAISE EXCEPTION 'a segment of the audit log follows the last one and ends at a line of the log';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION audit_segment_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'segments of the audit log are never changed or deleted';
END $$;

CREATE OR REPLACE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.sequence <= (SELECT COALESCE(MAX(last_line), 0) FROM audit_segments) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'lines of the audit log are never changed, or deleted before they were sealed';
END $$;

CREATE TRIGGER audit_segment_in_order BEFORE INSERT ON audit_segments FOR EACH ROW EXECUTE FUNCTION audit_segment_ordered();
CREATE TRIGGER audit_segment_not_changed BEFORE UPDATE OR DELETE ON audit_segments FOR EACH ROW EXECUTE FUNCTION audit_segment_kept();
CREATE TRIGGER audit_segment_not_emptied BEFORE TRUNCATE ON audit_segments FOR EACH STATEMENT EXECUTE FUNCTION audit_segment_kept();
