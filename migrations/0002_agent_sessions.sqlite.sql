-- Agent sessions: who works, on what, what was said and what happened. They have tables of their own, led by the
-- same key as the sessions of the other kinds: a list is a backward scan of it.

-- How much one session, and all of them in one month (UTC), may use: millionths of a unit; NULL is no limit.
ALTER TABLE organizations ADD COLUMN max_session_acus INTEGER;
ALTER TABLE organizations ADD COLUMN max_cycle_acus INTEGER;

-- Who works. A deleted one keeps its row, because sessions refer to it, and frees its name.
CREATE TABLE agents (
    organization BLOB NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    deleted_us INTEGER,
    -- What a search looks at, in lower case.
    search TEXT NOT NULL,
    -- The rest, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (organization, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX agents_name ON agents (organization, name) WHERE deleted_us IS NULL;

-- What agent sessions are listed and counted by, and nothing else: a count reads all rows of an organization, so
-- they are narrow. The rest of a session is in agent_bodies, under the same key.
CREATE TABLE agent_sessions (
    organization BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    tail INTEGER NOT NULL,
    -- Grows with every change that a reader could see.
    revision INTEGER NOT NULL,
    owner BLOB NOT NULL,
    agent BLOB NOT NULL,
    -- What workers claim by: as it was when the session was created.
    agent_name TEXT NOT NULL,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    category TEXT,
    playbook TEXT,
    schedule TEXT,
    automation TEXT,
    parent_us INTEGER,
    parent_tail INTEGER,
    archived_us INTEGER,
    updated_us INTEGER NOT NULL,
    -- 'none', 'waiting' for a worker, or 'taken' by one; and since when.
    work TEXT NOT NULL,
    work_us INTEGER NOT NULL,
    -- Of what is taken: until when the worker has it, and the number of its claim. A heartbeat moves the first
    -- without a new revision.
    lease_us INTEGER,
    fence INTEGER,
    PRIMARY KEY (organization, created_us)
) STRICT, WITHOUT ROWID;

-- Lists across organizations (the account's administrators).
CREATE INDEX agent_sessions_account ON agent_sessions (created_us, tail);
-- Of those it leaves out, so that no list reads all organizations.
CREATE INDEX organizations_deleted ON organizations (id) WHERE deleted_us IS NOT NULL;
-- Claims: what waits is little, and within an organization the oldest goes first.
CREATE INDEX agent_sessions_waiting ON agent_sessions (organization, work_us, created_us) WHERE work = 'waiting';
CREATE INDEX agent_sessions_taken ON agent_sessions (lease_us) WHERE work = 'taken';

-- Rows are wide: kept within the key's own tree they would leave it room for four to a page, and a look-up would go
-- through nine of them.
CREATE TABLE agent_bodies (
    organization BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    -- Title and previews in lower case: what a search looks at.
    search TEXT NOT NULL,
    -- The rest of the session, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (organization, created_us)
) STRICT;

-- Deleted sessions whose messages and events are not all removed yet. Nothing is created in their place before.
CREATE TABLE agent_purges (
    organization BLOB NOT NULL,
    session_us INTEGER NOT NULL,
    PRIMARY KEY (organization, session_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_tags (
    organization BLOB NOT NULL,
    tag TEXT NOT NULL,
    session_us INTEGER NOT NULL,
    PRIMARY KEY (organization, tag, session_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_repos (
    organization BLOB NOT NULL,
    repo TEXT NOT NULL,
    session_us INTEGER NOT NULL,
    PRIMARY KEY (organization, repo, session_us)
) STRICT, WITHOUT ROWID;

-- What callers put on top of their lists; each has its own.
CREATE TABLE pins (
    organization BLOB NOT NULL,
    principal BLOB NOT NULL,
    session_us INTEGER NOT NULL,
    PRIMARY KEY (organization, principal, session_us)
) STRICT, WITHOUT ROWID;

-- What was said, without gaps.
CREATE TABLE messages (
    organization BLOB NOT NULL,
    session_us INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    id BLOB NOT NULL,
    source TEXT NOT NULL,
    author BLOB,
    at_us INTEGER NOT NULL,
    -- How many files came with it.
    attachments INTEGER NOT NULL,
    -- The whole message, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (organization, session_us, sequence)
) STRICT, WITHOUT ROWID;

-- What happened, without gaps. An event's id carries its sequence, so ids need no index.
CREATE TABLE events (
    organization BLOB NOT NULL,
    session_us INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    turn BLOB,
    -- The message that the turn answers.
    input BLOB,
    data TEXT NOT NULL,
    PRIMARY KEY (organization, session_us, sequence)
) STRICT, WITHOUT ROWID;

-- Whose work was claimed when, as a number that grows with every claim: the organization with the smallest one
-- is served next. Its row is made with its first session.
CREATE TABLE served (
    organization BLOB PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX served_number ON served (number);

-- What a session used on a day (days since 1970, UTC). It outlives the session: what was used is owed.
CREATE TABLE usage_days (
    organization BLOB NOT NULL,
    day INTEGER NOT NULL,
    session_us INTEGER NOT NULL,
    session_tail INTEGER NOT NULL,
    owner BLOB NOT NULL,
    origin TEXT NOT NULL,
    -- Millionths of a unit.
    acus INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_creation_tokens INTEGER NOT NULL,
    PRIMARY KEY (organization, day, session_us, session_tail)
) STRICT, WITHOUT ROWID;

-- Secrets of sessions, sealed before they come here.
CREATE TABLE secrets (
    organization BLOB NOT NULL,
    session_us INTEGER NOT NULL,
    name TEXT NOT NULL,
    ciphertext BLOB NOT NULL,
    -- 1 when it may not be shown to people again.
    sensitive INTEGER NOT NULL,
    PRIMARY KEY (organization, session_us, name)
) STRICT, WITHOUT ROWID;

-- Answers that are given again when a request is repeated.
CREATE TABLE idempotency (
    organization BLOB NOT NULL,
    -- SHA-256 of who asked, on which wire, what, and with which key.
    scope BLOB NOT NULL,
    -- SHA-256 of the request's body: another request with the same key is refused.
    digest BLOB NOT NULL,
    -- What the request made, noted with it: a server that dies after that has not answered yet.
    made BLOB,
    -- NULL while the first request is at work.
    status INTEGER,
    headers TEXT,
    body BLOB,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    PRIMARY KEY (organization, scope)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_expires ON idempotency (expires_us);

-- What administrators did, numbered over the whole account. The account's own is under the all-zero organization.
CREATE TABLE audit (
    organization BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    -- NULL when it was done at the machine.
    principal BLOB,
    action TEXT NOT NULL,
    thing TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (organization, sequence)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX audit_sequence ON audit (sequence);
