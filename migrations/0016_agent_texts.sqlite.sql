-- The texts that agent sessions are searched by, and an index of their trigrams: of all three characters in a row. It
-- only finds candidates; a search checks the text of each. Triggers keep both, whatever program writes a session.

-- From here on, each database has words of its own.

-- Narrow, so that a search without the index does not read the bodies. `agent_bodies.search` stays for one version,
-- because an older server that still runs during an upgrade writes and searches it.
CREATE TABLE agent_texts (
    -- The row in the index. Those of an organization begin at a multiple of 2^36 and follow each other, so that a search
    -- reads nothing of other organizations.
    id INTEGER PRIMARY KEY,
    organization BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    -- Title and previews in lower case.
    search TEXT NOT NULL,
    UNIQUE (organization, created_us)
) STRICT;

INSERT INTO agent_texts (id, organization, created_us, search)
SELECT (DENSE_RANK() OVER (ORDER BY organization) << 36)
           + ROW_NUMBER() OVER (PARTITION BY organization ORDER BY created_us) - 1,
       organization, created_us, search
FROM agent_bodies ORDER BY organization, created_us;

-- It keeps only which rows have a trigram, which needs a quarter of the space of also keeping where.
CREATE VIRTUAL TABLE agent_trigrams USING fts5 (
    search, content = 'agent_texts', content_rowid = 'id', columnsize = 0, detail = none,
    tokenize = 'trigram case_sensitive 1'
);
INSERT INTO agent_trigrams (agent_trigrams) VALUES ('rebuild');

CREATE TRIGGER agent_texts_inserted AFTER INSERT ON agent_texts BEGIN
    INSERT INTO agent_trigrams (rowid, search) VALUES (NEW.id, NEW.search);
END;

CREATE TRIGGER agent_texts_updated AFTER UPDATE OF search ON agent_texts BEGIN
    INSERT INTO agent_trigrams (agent_trigrams, rowid, search) VALUES ('delete', OLD.id, OLD.search);
    INSERT INTO agent_trigrams (rowid, search) VALUES (NEW.id, NEW.search);
END;

CREATE TRIGGER agent_texts_deleted AFTER DELETE ON agent_texts BEGIN
    INSERT INTO agent_trigrams (agent_trigrams, rowid, search) VALUES ('delete', OLD.id, OLD.search);
END;

-- The next number of the organization's range, or the first one of a range after all others.
CREATE TRIGGER agent_bodies_inserted AFTER INSERT ON agent_bodies BEGIN
    INSERT INTO agent_texts (id, organization, created_us, search)
    SELECT COALESCE(
               (SELECT t.id + 1 FROM agent_texts t
                WHERE t.id BETWEEN r.number << 36 AND (r.number << 36) + 68719476735 ORDER BY t.id DESC LIMIT 1),
               r.number << 36),
           NEW.organization, NEW.created_us, NEW.search
    FROM (SELECT COALESCE(
              (SELECT id >> 36 FROM agent_texts WHERE organization = NEW.organization LIMIT 1),
              (SELECT (id >> 36) + 1 FROM agent_texts ORDER BY id DESC LIMIT 1),
              1) AS number) r;
END;

CREATE TRIGGER agent_bodies_updated AFTER UPDATE OF search ON agent_bodies WHEN OLD.search <> NEW.search BEGIN
    UPDATE agent_texts SET search = NEW.search
    WHERE organization = NEW.organization AND created_us = NEW.created_us;
END;

CREATE TRIGGER agent_bodies_deleted AFTER DELETE ON agent_bodies BEGIN
    DELETE FROM agent_texts WHERE organization = OLD.organization AND created_us = OLD.created_us;
END;
