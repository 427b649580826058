-- The texts that agent sessions are searched by, and an index of their trigrams: of all three characters in a row. It
-- only finds candidates; a search checks the text of each. Triggers keep both, whatever program writes a session.

-- From here on, each database has words of its own.

-- Narrow, so that a search without the index does not read the bodies. `agent_bodies.search` stays for one version,
-- because an older server that still runs during an upgrade writes and searches it.
CREATE TABLE agent_texts (
    organization UUID NOT NULL,
    created_us BIGINT NOT NULL,
    -- Title and previews in lower case.
    search TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization, created_us)
);

-- No server writes between the copy and the triggers.
LOCK TABLE agent_bodies IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO agent_texts (organization, created_us, search)
SELECT organization, created_us, search
FROM agent_bodies ORDER BY organization, created_us;

-- A number for the organization, and one for each trigram: each character is shifted by 11 bits against the next one, so
-- after three it has left the 32 bits. Different trigrams of large code points can have the same number. This needs no
-- extension, as `pg_trgm` would, and does not depend on the locale of the database.
CREATE FUNCTION agent_texts_trigrams(organization UUID, search TEXT) RETURNS INTEGER[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    trigrams INTEGER[] := ARRAY[CAST(CAST('x' || right(CAST(organization AS TEXT), 8) AS BIT(32)) AS INTEGER)];
    trigram INTEGER := 0;
    letter TEXT;
BEGIN
    FOREACH letter IN ARRAY string_to_array(search, NULL) LOOP
        trigram := (trigram << 11) # ascii(letter);
        trigrams := trigrams || trigram;
    END LOOP;
    RETURN trigrams;
END $$;

CREATE INDEX agent_texts_trigrams ON agent_texts USING gin (agent_texts_trigrams(organization, search))
    -- New texts wait in a list that every search reads and that one writer in some hundred sorts in: a short one.
    WITH (gin_pending_list_limit = 1024);
-- No plan depends on statistics of the trigrams, and taking them computes those of many texts.
ALTER INDEX agent_texts_trigrams ALTER COLUMN 1 SET STATISTICS 0;

-- The first `$2` texts that have these numbers. Readers do not use bitmaps, because every other statement of theirs has a
-- better plan; this index has no other. The memory keeps the bitmap exact for some millions of texts: for a whole page of
-- the table, the trigrams of each text would be computed again.
CREATE FUNCTION agent_texts_candidates(INTEGER[], BIGINT)
RETURNS TABLE (organization UUID, created_us BIGINT, search TEXT)
LANGUAGE sql STABLE SET enable_bitmapscan = on SET work_mem = '32MB' AS $$
    SELECT t.organization, t.created_us, t.search FROM agent_texts t
    WHERE agent_texts_trigrams(t.organization, t.search) @> $1 LIMIT $2
$$;

CREATE FUNCTION agent_texts_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO agent_texts (organization, created_us, search)
        VALUES (NEW.organization, NEW.created_us, NEW.search);
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE agent_texts SET search = NEW.search
        WHERE organization = NEW.organization AND created_us = NEW.created_us;
    ELSE
        DELETE FROM agent_texts WHERE organization = OLD.organization AND created_us = OLD.created_us;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER agent_texts_added AFTER INSERT OR DELETE ON agent_bodies
    FOR EACH ROW EXECUTE FUNCTION agent_texts_follow();
CREATE TRIGGER agent_texts_changed AFTER UPDATE OF search ON agent_bodies
    FOR EACH ROW WHEN (OLD.search <> NEW.search) EXECUTE FUNCTION agent_texts_follow();
