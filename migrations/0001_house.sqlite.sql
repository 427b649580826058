-- The house: who is who, device sessions, and the change feed.
-- The pair of this file holds the same tables for the other database; a test compares their columns.
-- Times are microseconds since 1970. States are words, not numbers, so that a person can read a row.

-- One row for each organization, locked by every change in it: its sequence is therefore gapless and in
-- commit order. The row of the all-zero id is the pool's: its sequence numbers the requests for devices, whose
-- order must hold across organizations because they may wait for the same device.
CREATE TABLE counters (
    organization BLOB PRIMARY KEY,
    sequence INTEGER NOT NULL,
    -- Lines of the change feed up to here were pruned: a reader that is behind must start again.
    pruned INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO counters (organization, sequence, pruned) VALUES (zeroblob(16), 0, 0);

-- A deleted organization keeps its row (a tombstone) and its sessions.
CREATE TABLE organizations (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    deleted_us INTEGER,
    -- How many devices it may hold or wait for at once; NULL is no limit.
    max_devices INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX organizations_name ON organizations (name) WHERE deleted_us IS NULL;

-- People and machines. Wires that know integers only (Probe.dev) use the number.
CREATE TABLE principals (
    id BLOB PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    -- Of a user; lower case, so that one address is one person.
    email TEXT UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT,
    state TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    -- Of a service user of the whole account.
    account_role TEXT,
    default_organization BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    organization BLOB NOT NULL,
    principal BLOB NOT NULL,
    role TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (organization, principal)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_principal ON members (principal);

-- The secret itself is never kept, only its SHA-256.
CREATE TABLE credentials (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    principal BLOB NOT NULL,
    -- The organization it acts in when the request names none; it cannot act in another.
    organization BLOB,
    wire TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The last characters of the secret, so that a person can tell two keys apart.
    suffix TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER,
    last_used_us INTEGER,
    revoked_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX credentials_principal ON credentials (principal);

-- The key is the order: a list is a backward scan of the key, a cursor is a position in it, and no two sessions
-- of an organization and kind share a time. Ascending, because descending keys double a SQLite file.
CREATE TABLE sessions (
    organization BLOB NOT NULL,
    kind TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    -- The random part of the session's id; the rest of the id is created_us.
    tail INTEGER NOT NULL,
    principal BLOB NOT NULL,
    -- Grows with every change that a reader could see.
    revision INTEGER NOT NULL,
    -- Since when nothing is held; NULL while something is held or asked for, or nothing ever was.
    released_us INTEGER,
    -- Last request for a device or end of a hold: what the sweep of empty sessions goes by.
    activity_us INTEGER NOT NULL,
    ended_us INTEGER,
    end_reason TEXT,
    end_actor BLOB,
    end_evidence TEXT,
    PRIMARY KEY (organization, kind, created_us)
) STRICT, WITHOUT ROWID;

-- Lists across organizations (the account's administrators).
CREATE INDEX sessions_account ON sessions (kind, created_us);
-- The sweep looks at sessions that have not ended, which are few.
CREATE INDEX sessions_open ON sessions (kind, activity_us) WHERE ended_us IS NULL;

-- One request for a device and the hold that came of it. Leads with its session's key, so that the holds of a
-- page of sessions are one range.
CREATE TABLE holds (
    organization BLOB NOT NULL,
    session_us INTEGER NOT NULL,
    id BLOB NOT NULL,
    session_tail INTEGER NOT NULL,
    principal BLOB NOT NULL,
    state TEXT NOT NULL,
    -- Order of committed requests over all organizations.
    position INTEGER NOT NULL,
    filters TEXT NOT NULL,
    platform TEXT NOT NULL,
    requested_us INTEGER NOT NULL,
    granted_us INTEGER,
    released_us INTEGER,
    activity_us INTEGER NOT NULL,
    -- What is held, copied at the time of the grant: devices are renamed, upgraded and taken away.
    device BLOB,
    fence INTEGER,
    handle TEXT,
    device_name TEXT,
    device_kind TEXT,
    model TEXT,
    version TEXT,
    end_reason TEXT,
    end_actor BLOB,
    end_evidence TEXT,
    PRIMARY KEY (organization, session_us, id)
) STRICT, WITHOUT ROWID;

-- What is held or waited for now is little; everything that looks at "now" goes through here.
CREATE INDEX holds_open ON holds (organization, position) WHERE released_us IS NULL;

CREATE TABLE hosts (
    id BLOB PRIMARY KEY,
    -- All zero for a host of the shared pool.
    organization BLOB NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (organization, name)
) STRICT, WITHOUT ROWID;

-- Which server has which host on the line. A host is lost when no row of it is fresh.
CREATE TABLE links (
    host BLOB NOT NULL,
    node BLOB NOT NULL,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (host, node)
) STRICT, WITHOUT ROWID;

-- Known devices stay here when they are unplugged, so that "no device could ever match" is right after a restart.
-- The holder and its fencing number stand on the device's own row: holding twice cannot be written.
CREATE TABLE devices (
    id BLOB PRIMARY KEY,
    host BLOB NOT NULL,
    -- All zero for a device of the shared pool.
    organization BLOB NOT NULL,
    serial TEXT NOT NULL,
    -- The device's id on the wires: its serial, or serial and host where two hosts have the same serial.
    handle TEXT NOT NULL,
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    online INTEGER NOT NULL,
    seen_us INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    holder_organization BLOB,
    holder_session_us INTEGER,
    holder_hold BLOB,
    -- Set from the end of a hold until the host says that it cleaned the device.
    cleaning INTEGER NOT NULL,
    UNIQUE (host, serial)
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_organization ON devices (organization, handle);

-- The change feed: what happened in an organization, in commit order, without gaps.
CREATE TABLE changes (
    organization BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    session_us INTEGER NOT NULL,
    session_tail INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    what TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (organization, sequence)
) STRICT, WITHOUT ROWID;

-- Uploaded apps and finished recordings; the bytes are in the object store under organization/id.
CREATE TABLE files (
    organization BLOB NOT NULL,
    id BLOB NOT NULL,
    principal BLOB NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Bytes announced; counted against the quota from the moment of the announcement.
    size INTEGER NOT NULL,
    state TEXT NOT NULL,
    -- SHA-256 of the token in the file's address: who has the address may use it until it expires.
    token_hash BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    PRIMARY KEY (organization, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX files_token ON files (token_hash);
CREATE INDEX files_expires ON files (expires_us);
