-- What the lists of Tenure's own wire need.

-- From here on, each database has words of its own.

-- Names of people and organizations have changed. A server that keeps sessions as they were written, with the names of their
-- owners and organizations, looks here before it sends them again: as at a change of the access of a principal that does not
-- exist.
CREATE TRIGGER names_principal_changed AFTER UPDATE OF kind, name, email ON principals
WHEN OLD.kind IS NOT NEW.kind OR OLD.name IS NOT NEW.name OR OLD.email IS NOT NEW.email
BEGIN INSERT INTO access_changes (principal) VALUES (x'0000000000000000000000000000ffff'); END;

CREATE TRIGGER names_principal_deleted AFTER DELETE ON principals
BEGIN INSERT INTO access_changes (principal) VALUES (x'0000000000000000000000000000ffff'); END;

CREATE TRIGGER names_organization_changed AFTER UPDATE OF name ON organizations
WHEN OLD.name IS NOT NEW.name
BEGIN INSERT INTO access_changes (principal) VALUES (x'0000000000000000000000000000ffff'); END;

CREATE TRIGGER names_organization_deleted AFTER DELETE ON organizations
BEGIN INSERT INTO access_changes (principal) VALUES (x'0000000000000000000000000000ffff'); END;

-- The order in which the entries of all change feeds were committed, so that who follows the feeds of many organizations has
-- one position in them. PostgreSQL has the numbers of their transactions for that. The newest 100,000 stay.
CREATE TABLE change_positions (
    position INTEGER PRIMARY KEY,
    organization BLOB NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;

CREATE TRIGGER change_positioned AFTER INSERT ON changes
BEGIN INSERT INTO change_positions (organization, sequence) VALUES (NEW.organization, NEW.sequence); END;

CREATE TRIGGER change_positions_bounded AFTER INSERT ON change_positions
BEGIN DELETE FROM change_positions WHERE position <= NEW.position - 100000; END;
