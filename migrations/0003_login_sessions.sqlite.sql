-- People signed in: login sessions, what they sign in with, and what is sent to them.

-- Login sessions stand in `sessions` under the account's own id for its people (one, not all zero: the sequence of
-- the pool numbers requests for devices and must have no gap), so that they share the change feed and its order.
INSERT INTO counters (organization, sequence, pruned) VALUES (X'00000000000000000000000000000001', 0, 0);

-- What only people have.
ALTER TABLE principals ADD COLUMN parent BLOB;
ALTER TABLE principals ADD COLUMN first_name TEXT NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN last_name TEXT NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN updated_us INTEGER NOT NULL DEFAULT 0;

UPDATE principals SET updated_us = created_us;

-- A person's sub users.
CREATE INDEX principals_parent ON principals (parent) WHERE parent IS NOT NULL;

-- What a key may at most, in Probe.dev's words with blanks between; NULL is whatever its owner may.
ALTER TABLE credentials ADD COLUMN scopes TEXT;
ALTER TABLE credentials ADD COLUMN updated_us INTEGER;
-- Only with the setting probe_recoverable_tokens, which is off: the secret itself, to be answered again.
ALTER TABLE credentials ADD COLUMN recoverable TEXT;

-- What a login session has besides what sessions share; activity_us there is its last use.
CREATE TABLE logins (
    created_us INTEGER PRIMARY KEY,
    -- SHA-256 of the secret in its token. The id is public, so it opens nothing by itself.
    hash BLOB NOT NULL,
    idle_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    authenticated_us INTEGER NOT NULL,
    -- How (RFC 8176), with blanks between.
    methods TEXT NOT NULL,
    remote_ip TEXT,
    agent TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    -- The key that opened it: it ends with that key.
    credential BLOB,
    -- The only organization it acts in, when that key is bound to one.
    organization BLOB,
    scopes TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX logins_credential ON logins (credential) WHERE credential IS NOT NULL;

-- A person's sessions that have not ended, which are few. Two columns for equality, so that SQLite prefers it to the
-- other indexes that begin with the kind, by which it would walk all sessions there ever were.
CREATE INDEX sessions_logins ON sessions (principal, kind, created_us) WHERE kind = 'login' AND ended_us IS NULL;

-- What tokens are checked with. The private halves never leave the server that made them: they are in a file of
-- its own, so whoever reads the database can sign nothing.
CREATE TABLE signing_keys (
    id BLOB PRIMARY KEY,
    public BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    -- No token that it signed is good any longer than until then.
    retires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is sent by mail and can be used once.
CREATE TABLE one_time_tokens (
    -- SHA-256 of its secret.
    hash BLOB PRIMARY KEY,
    principal BLOB NOT NULL,
    purpose TEXT NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX one_time_tokens_principal ON one_time_tokens (principal, purpose);
CREATE INDEX one_time_tokens_expires ON one_time_tokens (expires_us);

-- Tries to sign in that have not succeeded, by SHA-256 of who is tried from where. Also of addresses that nobody
-- has, so that a limit does not tell which ones somebody has.
CREATE TABLE sign_in_attempts (
    hash BLOB PRIMARY KEY,
    failed INTEGER NOT NULL,
    since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_attempts_since ON sign_in_attempts (since_us);
