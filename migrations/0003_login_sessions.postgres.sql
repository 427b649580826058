-- People signed in: login sessions, what they sign in with, and what is sent to them.

-- Login sessions stand in `sessions` under the account's own id for its people (one, not all zero: the sequence of
-- the pool numbers requests for devices and must have no gap), so that they share the change feed and its order.
INSERT INTO counters (organization, sequence, pruned) VALUES ('00000000-0000-0000-0000-000000000001', 0, 0);

-- What only people have.
ALTER TABLE principals ADD COLUMN parent UUID;
ALTER TABLE principals ADD COLUMN first_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN last_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN updated_us BIGINT NOT NULL DEFAULT 0;

UPDATE principals SET updated_us = created_us;

-- A person's sub users.
CREATE INDEX principals_parent ON principals (parent) WHERE parent IS NOT NULL;

-- What a key may at most, in Probe.dev's words with blanks between; NULL is whatever its owner may.
ALTER TABLE credentials ADD COLUMN scopes TEXT COLLATE "C";
ALTER TABLE credentials ADD COLUMN updated_us BIGINT;
-- Only with the setting probe_recoverable_tokens, which is off: the secret itself, to be answered again.
ALTER TABLE credentials ADD COLUMN recoverable TEXT COLLATE "C";

-- What a login session has besides what sessions share; activity_us there is its last use.
CREATE TABLE logins (
    created_us BIGINT PRIMARY KEY,
    -- SHA-256 of the secret in its token. The id is public, so it opens nothing by itself.
    hash BYTEA NOT NULL,
    idle_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    authenticated_us BIGINT NOT NULL,
    -- How (RFC 8176), with blanks between.
    methods TEXT COLLATE "C" NOT NULL,
    remote_ip TEXT COLLATE "C",
    agent TEXT COLLATE "C" NOT NULL,
    agent_type TEXT COLLATE "C" NOT NULL,
    -- The key that opened it: it ends with that key.
    credential UUID,
    -- The only organization it acts in, when that key is bound to one.
    organization UUID,
    scopes TEXT COLLATE "C"
);

CREATE INDEX logins_credential ON logins (credential) WHERE credential IS NOT NULL;

-- A person's sessions that have not ended, which are few. Two columns for equality, so that SQLite prefers it to the
-- other indexes that begin with the kind, by which it would walk all sessions there ever were.
CREATE INDEX sessions_logins ON sessions (principal, kind, created_us) WHERE kind = 'login' AND ended_us IS NULL;

-- What tokens are checked with. The private halves never leave the server that made them: they are in a file of
-- its own, so whoever reads the database can sign nothing.
CREATE TABLE signing_keys (
    id UUID PRIMARY KEY,
    public BYTEA NOT NULL,
    created_us BIGINT NOT NULL,
    -- No token that it signed is good any longer than until then.
    retires_us BIGINT NOT NULL
);

-- What is sent by mail and can be used once.
CREATE TABLE one_time_tokens (
    -- SHA-256 of its secret.
    hash BYTEA PRIMARY KEY,
    principal UUID NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    expires_us BIGINT NOT NULL
);

CREATE INDEX one_time_tokens_principal ON one_time_tokens (principal, purpose);
CREATE INDEX one_time_tokens_expires ON one_time_tokens (expires_us);

-- Tries to sign in that have not succeeded, by SHA-256 of who is tried from where. Also of addresses that nobody
-- has, so that a limit does not tell which ones somebody has.
CREATE TABLE sign_in_attempts (
    hash BYTEA PRIMARY KEY,
    failed BIGINT NOT NULL,
    since_us BIGINT NOT NULL
);

CREATE INDEX sign_in_attempts_since ON sign_in_attempts (since_us);
