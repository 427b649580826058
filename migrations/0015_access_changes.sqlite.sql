-- Whose access has changed. A server that knows who a caller is looks here at every use of a credential, instead of reading
-- the caller again.
--
-- A change counts when it could change what is known of a caller who was let in. An attempt that was refused is always read
-- again, so what only lets somebody in does not count, and no use of a key or a session does.

-- From here on, each database has words of its own.

-- A principal's id, or zeros for everybody. The numbers have no gap, and the newest row always stays.
CREATE TABLE access_changes (
    sequence INTEGER PRIMARY KEY,
    principal BLOB NOT NULL
) STRICT;

INSERT INTO access_changes (sequence, principal) VALUES (1, zeroblob(16));

-- A server that has not looked for longer than this counts everybody as changed.
CREATE TRIGGER access_changes_bounded AFTER INSERT ON access_changes
BEGIN DELETE FROM access_changes WHERE sequence <= NEW.sequence - 1000; END;

CREATE TRIGGER access_principal_changed AFTER UPDATE OF id, kind, state, account_role, default_organization ON principals
WHEN OLD.id IS NOT NEW.id OR OLD.kind IS NOT NEW.kind OR OLD.state IS NOT NEW.state
  OR OLD.account_role IS NOT NEW.account_role OR OLD.default_organization IS NOT NEW.default_organization
BEGIN INSERT INTO access_changes (principal) SELECT OLD.id UNION SELECT NEW.id; END;

CREATE TRIGGER access_principal_deleted AFTER DELETE ON principals
BEGIN INSERT INTO access_changes (principal) VALUES (OLD.id); END;

CREATE TRIGGER access_member_added AFTER INSERT ON members
BEGIN INSERT INTO access_changes (principal) VALUES (NEW.principal); END;

-- Also the time: an organization is chosen by it.
CREATE TRIGGER access_member_changed AFTER UPDATE OF organization, principal, role, created_us ON members
WHEN OLD.organization IS NOT NEW.organization OR OLD.principal IS NOT NEW.principal OR OLD.role IS NOT NEW.role
  OR OLD.created_us IS NOT NEW.created_us
BEGIN INSERT INTO access_changes (principal) SELECT OLD.principal UNION SELECT NEW.principal; END;

CREATE TRIGGER access_member_removed AFTER DELETE ON members
BEGIN INSERT INTO access_changes (principal) VALUES (OLD.principal); END;

CREATE TRIGGER access_organization_added AFTER INSERT ON organizations
BEGIN INSERT INTO access_changes (principal) SELECT principal FROM members WHERE organization = NEW.id; END;

-- A role in the account opens every organization.
CREATE TRIGGER access_organization_changed AFTER UPDATE OF id, deleted_us ON organizations
WHEN OLD.id IS NOT NEW.id OR OLD.deleted_us IS NOT NEW.deleted_us
BEGIN INSERT INTO access_changes (principal) VALUES (zeroblob(16)); END;

CREATE TRIGGER access_organization_removed AFTER DELETE ON organizations
BEGIN INSERT INTO access_changes (principal) VALUES (zeroblob(16)); END;

-- A use makes the time of the last use later, which only keeps a key good for longer.
CREATE TRIGGER access_key_changed
AFTER UPDATE OF hash, principal, organization, expires_us, last_used_us, revoked_us, scopes ON credentials
WHEN OLD.hash IS NOT NEW.hash OR OLD.principal IS NOT NEW.principal OR OLD.organization IS NOT NEW.organization
  OR OLD.expires_us IS NOT NEW.expires_us OR OLD.revoked_us IS NOT NEW.revoked_us OR OLD.scopes IS NOT NEW.scopes
  OR COALESCE(NEW.last_used_us, NEW.created_us) < COALESCE(OLD.last_used_us, OLD.created_us)
BEGIN INSERT INTO access_changes (principal) SELECT OLD.principal UNION SELECT NEW.principal; END;

-- The sessions that a key opened have its networks and its age.
CREATE TRIGGER access_key_moved AFTER UPDATE OF id, created_us, networks ON credentials
WHEN OLD.id IS NOT NEW.id OR OLD.created_us IS NOT NEW.created_us OR OLD.networks IS NOT NEW.networks
BEGIN INSERT INTO access_changes (principal) VALUES (zeroblob(16)); END;

CREATE TRIGGER access_key_deleted AFTER DELETE ON credentials
BEGIN INSERT INTO access_changes (principal) VALUES (zeroblob(16)); END;

CREATE TRIGGER access_session_changed
AFTER UPDATE OF organization, kind, created_us, tail, principal, activity_us, ended_us ON sessions
WHEN OLD.kind = 'login' AND (OLD.organization IS NOT NEW.organization OR OLD.kind IS NOT NEW.kind
  OR OLD.created_us IS NOT NEW.created_us OR OLD.tail IS NOT NEW.tail OR OLD.principal IS NOT NEW.principal
  OR NEW.activity_us < OLD.activity_us OR OLD.ended_us IS NOT NEW.ended_us)
BEGIN INSERT INTO access_changes (principal) SELECT OLD.principal UNION SELECT NEW.principal; END;

CREATE TRIGGER access_session_deleted AFTER DELETE ON sessions
WHEN OLD.kind = 'login' AND OLD.ended_us IS NULL
BEGIN INSERT INTO access_changes (principal) VALUES (OLD.principal); END;

CREATE TRIGGER access_login_changed
AFTER UPDATE OF created_us, hash, idle_us, expires_us, authenticated_us, methods, credential, organization, scopes ON logins
WHEN OLD.created_us IS NOT NEW.created_us OR OLD.hash IS NOT NEW.hash OR OLD.idle_us IS NOT NEW.idle_us
  OR OLD.expires_us IS NOT NEW.expires_us OR OLD.authenticated_us IS NOT NEW.authenticated_us
  OR OLD.methods IS NOT NEW.methods OR OLD.credential IS NOT NEW.credential
  OR OLD.organization IS NOT NEW.organization OR OLD.scopes IS NOT NEW.scopes
BEGIN
    INSERT INTO access_changes (principal)
    SELECT DISTINCT principal FROM sessions
    WHERE organization = X'00000000000000000000000000000001' AND kind = 'login'
      AND created_us IN (OLD.created_us, NEW.created_us) AND ended_us IS NULL;
END;

CREATE TRIGGER access_login_deleted AFTER DELETE ON logins
BEGIN
    INSERT INTO access_changes (principal)
    SELECT principal FROM sessions
    WHERE organization = X'00000000000000000000000000000001' AND kind = 'login' AND created_us = OLD.created_us
      AND ended_us IS NULL;
END;

CREATE TRIGGER access_factor_added AFTER INSERT ON second_factors WHEN NEW.confirmed_us IS NOT NULL
BEGIN INSERT INTO access_changes (principal) VALUES (NEW.principal); END;

CREATE TRIGGER access_factor_changed AFTER UPDATE OF principal, confirmed_us ON second_factors
WHEN OLD.principal IS NOT NEW.principal OR OLD.confirmed_us IS NOT NEW.confirmed_us
BEGIN INSERT INTO access_changes (principal) SELECT OLD.principal UNION SELECT NEW.principal; END;

CREATE TRIGGER access_factor_deleted AFTER DELETE ON second_factors WHEN OLD.confirmed_us IS NOT NULL
BEGIN INSERT INTO access_changes (principal) VALUES (OLD.principal); END;

CREATE TRIGGER access_identity_added AFTER INSERT ON identities
BEGIN INSERT INTO access_changes (principal) VALUES (NEW.principal); END;

CREATE TRIGGER access_identity_changed AFTER UPDATE OF issuer, principal ON identities
WHEN OLD.issuer IS NOT NEW.issuer OR OLD.principal IS NOT NEW.principal
BEGIN INSERT INTO access_changes (principal) SELECT OLD.principal UNION SELECT NEW.principal; END;

CREATE TRIGGER access_identity_deleted AFTER DELETE ON identities
BEGIN INSERT INTO access_changes (principal) VALUES (OLD.principal); END;

-- A server remembers what a caller has pinned, too.
CREATE TRIGGER access_pin_added AFTER INSERT ON pins
BEGIN INSERT INTO access_changes (principal) VALUES (NEW.principal); END;

CREATE TRIGGER access_pin_removed AFTER DELETE ON pins
BEGIN INSERT INTO access_changes (principal) VALUES (OLD.principal); END;

CREATE TRIGGER access_signing_key_changed AFTER UPDATE ON signing_keys
BEGIN INSERT INTO access_changes (principal) VALUES (zeroblob(16)); END;

CREATE TRIGGER access_signing_key_deleted AFTER DELETE ON signing_keys
BEGIN INSERT INTO access_changes (principal) VALUES (zeroblob(16)); END;
