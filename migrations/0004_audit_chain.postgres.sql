-- The audit log becomes a chain that can be checked, and that the database itself refuses to change.

-- The key and the login session that somebody came with, and from where.
ALTER TABLE audit ADD COLUMN credential UUID;
ALTER TABLE audit ADD COLUMN login UUID;
ALTER TABLE audit ADD COLUMN address TEXT COLLATE "C";
-- What was before; `details` is what is after.
ALTER TABLE audit ADD COLUMN was TEXT COLLATE "C";
-- The hash of the line before, and its own: SHA-256 of that one, the sequence, and SHA-256 of all other columns (the
-- store's audit_chain.rs says how). Lines from before this migration have none.
ALTER TABLE audit ADD COLUMN previous BYTEA;
ALTER TABLE audit ADD COLUMN hash BYTEA;

-- Locked by whatever adds a line, and by nothing else.
INSERT INTO counters (organization, sequence, pruned) VALUES ('00000000-0000-0000-0000-000000000002', 0, 0);

-- From here on, each database has words of its own.

-- For SQLite the program has a function of this name.
CREATE FUNCTION audit_link(previous BYTEA, sequence BIGINT, content BYTEA) RETURNS BYTEA
LANGUAGE sql IMMUTABLE AS 'SELECT sha256($1 || int8send($2) || $3)';

CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lines of the audit log are never changed or deleted';
END $$;

CREATE FUNCTION audit_ordered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.hash IS NULL OR NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit) THEN
        RAISE EXCEPTION 'a line of the audit log follows the last one';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_not_changed BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_kept();
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_kept();
CREATE TRIGGER audit_in_order BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_ordered();
