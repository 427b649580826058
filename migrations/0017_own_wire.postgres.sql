-- What the lists of Tenure's own wire need.

-- From here on, each database has words of its own.

-- Names of people and organizations have changed. A server that keeps sessions as they were written, with the names of their
-- owners and organizations, looks here before it sends them again: as at a change of the access of a principal that does not
-- exist.
CREATE FUNCTION names_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM access_note('00000000-0000-0000-0000-00000000ffff');
    RETURN NULL;
END $$;

CREATE TRIGGER names_principal_changed AFTER UPDATE OF kind, name, email ON principals FOR EACH ROW
WHEN (OLD.kind IS DISTINCT FROM NEW.kind OR OLD.name IS DISTINCT FROM NEW.name OR OLD.email IS DISTINCT FROM NEW.email)
EXECUTE FUNCTION names_note();

CREATE TRIGGER names_principal_deleted AFTER DELETE ON principals FOR EACH ROW EXECUTE FUNCTION names_note();

CREATE TRIGGER names_organization_changed AFTER UPDATE OF name ON organizations FOR EACH ROW
WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION names_note();

CREATE TRIGGER names_organization_deleted AFTER DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION names_note();
