-- The house: who is who, device sessions, and the change feed.
-- The pair of this file holds the same tables for the other database; a test compares their columns.
-- Times are microseconds since 1970. States are words, not numbers, so that a person can read a row.

-- One row for each organization, locked by every change in it: its sequence is therefore gapless and in
-- commit order. The row of the all-zero id is the pool's: its sequence numbers the requests for devices, whose
-- order must hold across organizations because they may wait for the same device.
CREATE TABLE counters (
    organization UUID PRIMARY KEY,
    sequence BIGINT NOT NULL,
    -- Lines of the change feed up to here were pruned: a reader that is behind must start again.
    pruned BIGINT NOT NULL
);

INSERT INTO counters (organization, sequence, pruned) VALUES ('00000000-0000-0000-0000-000000000000', 0, 0);

-- A deleted organization keeps its row (a tombstone) and its sessions.
CREATE TABLE organizations (
    id UUID PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    deleted_us BIGINT,
    -- How many devices it may hold or wait for at once; NULL is no limit.
    max_devices BIGINT
);

CREATE UNIQUE INDEX organizations_name ON organizations (name) WHERE deleted_us IS NULL;

-- People and machines. Wires that know integers only (Probe.dev) use the number.
CREATE TABLE principals (
    id UUID PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    -- Of a user; lower case, so that one address is one person.
    email TEXT COLLATE "C" UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    -- Of a service user of the whole account.
    account_role TEXT COLLATE "C",
    default_organization UUID
);

CREATE TABLE members (
    organization UUID NOT NULL,
    principal UUID NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (organization, principal)
);

CREATE INDEX members_principal ON members (principal);

-- The secret itself is never kept, only its SHA-256.
CREATE TABLE credentials (
    id UUID PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    principal UUID NOT NULL,
    -- The organization it acts in when the request names none; it cannot act in another.
    organization UUID,
    wire TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- The last characters of the secret, so that a person can tell two keys apart.
    suffix TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT,
    last_used_us BIGINT,
    revoked_us BIGINT
);

CREATE INDEX credentials_principal ON credentials (principal);

-- The key is the order: a list is a backward scan of the key, a cursor is a position in it, and no two sessions
-- of an organization and kind share a time. Ascending, because descending keys double a SQLite file.
CREATE TABLE sessions (
    organization UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    -- The random part of the session's id; the rest of the id is created_us.
    tail BIGINT NOT NULL,
    principal UUID NOT NULL,
    -- Grows with every change that a reader could see.
    revision BIGINT NOT NULL,
    -- Since when nothing is held; NULL while something is held or asked for, or nothing ever was.
    released_us BIGINT,
    -- Last request for a device or end of a hold: what the sweep of empty sessions goes by.
    activity_us BIGINT NOT NULL,
    ended_us BIGINT,
    end_reason TEXT COLLATE "C",
    end_actor UUID,
    end_evidence TEXT COLLATE "C",
    PRIMARY KEY (organization, kind, created_us)
);

-- Lists across organizations (the account's administrators).
CREATE INDEX sessions_account ON sessions (kind, created_us);
-- The sweep looks at sessions that have not ended, which are few.
CREATE INDEX sessions_open ON sessions (kind, activity_us) WHERE ended_us IS NULL;

-- One request for a device and the hold that came of it. Leads with its session's key, so that the holds of a
-- page of sessions are one range.
CREATE TABLE holds (
    organization UUID NOT NULL,
    session_us BIGINT NOT NULL,
    id UUID NOT NULL,
    session_tail BIGINT NOT NULL,
    principal UUID NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    -- Order of committed requests over all organizations.
    position BIGINT NOT NULL,
    filters TEXT COLLATE "C" NOT NULL,
    platform TEXT COLLATE "C" NOT NULL,
    requested_us BIGINT NOT NULL,
    granted_us BIGINT,
    released_us BIGINT,
    activity_us BIGINT NOT NULL,
    -- What is held, copied at the time of the grant: devices are renamed, upgraded and taken away.
    device UUID,
    fence BIGINT,
    handle TEXT COLLATE "C",
    device_name TEXT COLLATE "C",
    device_kind TEXT COLLATE "C",
    model TEXT COLLATE "C",
    version TEXT COLLATE "C",
    end_reason TEXT COLLATE "C",
    end_actor UUID,
    end_evidence TEXT COLLATE "C",
    PRIMARY KEY (organization, session_us, id)
);

-- What is held or waited for now is little; everything that looks at "now" goes through here.
CREATE INDEX holds_open ON holds (organization, position) WHERE released_us IS NULL;

CREATE TABLE hosts (
    id UUID PRIMARY KEY,
    -- All zero for a host of the shared pool.
    organization UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    UNIQUE (organization, name)
);

-- Which server has which host on the line. A host is lost when no row of it is fresh.
CREATE TABLE links (
    host UUID NOT NULL,
    node UUID NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (host, node)
);

-- Known devices stay here when they are unplugged, so that "no device could ever match" is right after a restart.
-- The holder and its fencing number stand on the device's own row: holding twice cannot be written.
CREATE TABLE devices (
    id UUID PRIMARY KEY,
    host UUID NOT NULL,
    -- All zero for a device of the shared pool.
    organization UUID NOT NULL,
    serial TEXT COLLATE "C" NOT NULL,
    -- The device's id on the wires: its serial, or serial and host where two hosts have the same serial.
    handle TEXT COLLATE "C" NOT NULL,
    platform TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    online BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    holder_organization UUID,
    holder_session_us BIGINT,
    holder_hold UUID,
    -- Set from the end of a hold until the host says that it cleaned the device.
    cleaning BIGINT NOT NULL,
    UNIQUE (host, serial)
);

CREATE INDEX devices_organization ON devices (organization, handle);

-- The change feed: what happened in an organization, in commit order, without gaps.
CREATE TABLE changes (
    organization UUID NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    session_us BIGINT NOT NULL,
    session_tail BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (organization, sequence)
);

-- Uploaded apps and finished recordings; the bytes are in the object store under organization/id.
CREATE TABLE files (
    organization UUID NOT NULL,
    id UUID NOT NULL,
    principal UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- Bytes announced; counted against the quota from the moment of the announcement.
    size BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the token in the file's address: who has the address may use it until it expires.
    token_hash BYTEA NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    PRIMARY KEY (organization, id)
);

CREATE INDEX files_token ON files (token_hash);
CREATE INDEX files_expires ON files (expires_us);
