-- Names of people and organizations have changed. A server that keeps sessions as they were written, with the names of their
-- owners and organizations, looks here before it sends them again.

-- From here on, each database has words of its own.

-- As a change of the access of a principal that does not exist.
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
