-- Whose access has changed. A server that knows who a caller is looks here at every use of a credential, instead of reading
-- the caller again.
--
-- A change counts when it could change what is known of a caller who was let in. An attempt that was refused is always read
-- again, so what only lets somebody in does not count, and no use of a key or a session does.

-- From here on, each database has words of its own.

-- The transaction that has changed it, and a principal's id, or zeros for everybody. No row is ever written by two
-- transactions, so that none waits for another.
CREATE TABLE access_changes (
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    principal UUID NOT NULL,
    PRIMARY KEY (tx, principal)
);

-- The newest transaction whose row was pruned. A server whose last look may not have seen it counts everybody as changed.
CREATE TABLE access_pruned (tx xid8 NOT NULL);
INSERT INTO access_pruned (tx) VALUES ('0');

-- Several sessions of a person may end at once.
CREATE FUNCTION access_note(changed UUID) RETURNS void LANGUAGE sql
AS 'INSERT INTO access_changes (principal) VALUES ($1) ON CONFLICT DO NOTHING';

CREATE FUNCTION access_of_everybody() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM access_note('00000000-0000-0000-0000-000000000000');
    RETURN NULL;
END $$;

-- For tables with a column of this name.
CREATE FUNCTION access_of_principal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM access_note(OLD.principal);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM access_note(NEW.principal);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION access_of_itself() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM access_note(OLD.id);
    IF TG_OP = 'UPDATE' THEN
        PERFORM access_note(NEW.id);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION access_of_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM access_note(principal) FROM members WHERE organization = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION access_of_login() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM access_note(principal) FROM sessions
    WHERE organization = '00000000-0000-0000-0000-000000000001' AND kind = 'login' AND created_us = OLD.created_us
      AND ended_us IS NULL;
    IF TG_OP = 'UPDATE' AND NEW.created_us <> OLD.created_us THEN
        PERFORM access_note(principal) FROM sessions
        WHERE organization = '00000000-0000-0000-0000-000000000001' AND kind = 'login' AND created_us = NEW.created_us
          AND ended_us IS NULL;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER access_principal_changed AFTER UPDATE OF id, kind, state, account_role, default_organization ON principals FOR EACH ROW
WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.kind IS DISTINCT FROM NEW.kind
  OR OLD.state IS DISTINCT FROM NEW.state OR OLD.account_role IS DISTINCT FROM NEW.account_role
  OR OLD.default_organization IS DISTINCT FROM NEW.default_organization)
EXECUTE FUNCTION access_of_itself();

CREATE TRIGGER access_principal_deleted AFTER DELETE ON principals FOR EACH ROW EXECUTE FUNCTION access_of_itself();

CREATE TRIGGER access_member_added AFTER INSERT ON members FOR EACH ROW EXECUTE FUNCTION access_of_principal();

-- Also the time: an organization is chosen by it.
CREATE TRIGGER access_member_changed AFTER UPDATE OF organization, principal, role, created_us ON members FOR EACH ROW
WHEN (OLD.organization IS DISTINCT FROM NEW.organization OR OLD.principal IS DISTINCT FROM NEW.principal
  OR OLD.role IS DISTINCT FROM NEW.role OR OLD.created_us IS DISTINCT FROM NEW.created_us)
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_member_removed AFTER DELETE ON members FOR EACH ROW EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_organization_added AFTER INSERT ON organizations FOR EACH ROW EXECUTE FUNCTION access_of_members();

-- A role in the account opens every organization.
CREATE TRIGGER access_organization_changed AFTER UPDATE OF id, deleted_us ON organizations FOR EACH ROW
WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.deleted_us IS DISTINCT FROM NEW.deleted_us)
EXECUTE FUNCTION access_of_everybody();

CREATE TRIGGER access_organization_removed AFTER DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION access_of_everybody();

-- A use makes the time of the last use later, which only keeps a key good for longer.
CREATE TRIGGER access_key_changed AFTER UPDATE OF hash, principal, organization, expires_us, revoked_us, scopes, last_used_us ON credentials FOR EACH ROW
WHEN (OLD.hash IS DISTINCT FROM NEW.hash OR OLD.principal IS DISTINCT FROM NEW.principal
  OR OLD.organization IS DISTINCT FROM NEW.organization OR OLD.expires_us IS DISTINCT FROM NEW.expires_us
  OR OLD.revoked_us IS DISTINCT FROM NEW.revoked_us OR OLD.scopes IS DISTINCT FROM NEW.scopes
  OR COALESCE(NEW.last_used_us, NEW.created_us) < COALESCE(OLD.last_used_us, OLD.created_us))
EXECUTE FUNCTION access_of_principal();

-- The sessions that a key opened have its networks and its age.
CREATE TRIGGER access_key_moved AFTER UPDATE OF id, created_us, networks ON credentials FOR EACH ROW
WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.created_us IS DISTINCT FROM NEW.created_us
  OR OLD.networks IS DISTINCT FROM NEW.networks)
EXECUTE FUNCTION access_of_everybody();

CREATE TRIGGER access_key_deleted AFTER DELETE ON credentials FOR EACH ROW EXECUTE FUNCTION access_of_everybody();

CREATE TRIGGER access_session_changed AFTER UPDATE OF organization, kind, created_us, tail, principal, ended_us, activity_us ON sessions FOR EACH ROW
WHEN (OLD.kind = 'login' AND (OLD.organization IS DISTINCT FROM NEW.organization
  OR OLD.kind IS DISTINCT FROM NEW.kind OR OLD.created_us IS DISTINCT FROM NEW.created_us
  OR OLD.tail IS DISTINCT FROM NEW.tail OR OLD.principal IS DISTINCT FROM NEW.principal
  OR OLD.ended_us IS DISTINCT FROM NEW.ended_us OR NEW.activity_us < OLD.activity_us))
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_session_deleted AFTER DELETE ON sessions FOR EACH ROW
WHEN (OLD.kind = 'login' AND OLD.ended_us IS NULL)
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_login_changed AFTER UPDATE OF created_us, hash, idle_us, expires_us, authenticated_us, methods, credential, organization, scopes ON logins FOR EACH ROW
WHEN (OLD.created_us IS DISTINCT FROM NEW.created_us OR OLD.hash IS DISTINCT FROM NEW.hash
  OR OLD.idle_us IS DISTINCT FROM NEW.idle_us OR OLD.expires_us IS DISTINCT FROM NEW.expires_us
  OR OLD.authenticated_us IS DISTINCT FROM NEW.authenticated_us OR OLD.methods IS DISTINCT FROM NEW.methods
  OR OLD.credential IS DISTINCT FROM NEW.credential OR OLD.organization IS DISTINCT FROM NEW.organization
  OR OLD.scopes IS DISTINCT FROM NEW.scopes)
EXECUTE FUNCTION access_of_login();

CREATE TRIGGER access_login_deleted AFTER DELETE ON logins FOR EACH ROW EXECUTE FUNCTION access_of_login();

CREATE TRIGGER access_factor_added AFTER INSERT ON second_factors FOR EACH ROW
WHEN (NEW.confirmed_us IS NOT NULL)
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_factor_changed AFTER UPDATE OF principal, confirmed_us ON second_factors FOR EACH ROW
WHEN (OLD.principal IS DISTINCT FROM NEW.principal OR OLD.confirmed_us IS DISTINCT FROM NEW.confirmed_us)
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_factor_deleted AFTER DELETE ON second_factors FOR EACH ROW
WHEN (OLD.confirmed_us IS NOT NULL)
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_identity_added AFTER INSERT ON identities FOR EACH ROW EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_identity_changed AFTER UPDATE OF issuer, principal ON identities FOR EACH ROW
WHEN (OLD.issuer IS DISTINCT FROM NEW.issuer OR OLD.principal IS DISTINCT FROM NEW.principal)
EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_identity_deleted AFTER DELETE ON identities FOR EACH ROW EXECUTE FUNCTION access_of_principal();

-- A server remembers what a caller has pinned, too.
CREATE TRIGGER access_pin_added AFTER INSERT ON pins FOR EACH ROW EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_pin_removed AFTER DELETE ON pins FOR EACH ROW EXECUTE FUNCTION access_of_principal();

CREATE TRIGGER access_signing_key_changed AFTER UPDATE ON signing_keys FOR EACH ROW EXECUTE FUNCTION access_of_everybody();

CREATE TRIGGER access_signing_key_deleted AFTER DELETE ON signing_keys FOR EACH ROW EXECUTE FUNCTION access_of_everybody();
