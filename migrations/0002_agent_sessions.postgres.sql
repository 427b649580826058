-- Agent sessions: who works, on what, what was said and what happened. They have tables of their own, led by the
-- same key as the sessions of the other kinds: a list is a backward scan of it.

-- How much one session, and all of them in one month (UTC), may use: millionths of a unit; NULL is no limit.
ALTER TABLE organizations ADD COLUMN max_session_acus BIGINT;
ALTER TABLE organizations ADD COLUMN max_cycle_acus BIGINT;

-- Who works. A deleted one keeps its row, because sessions refer to it, and frees its name.
CREATE TABLE agents (
    organization UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    deleted_us BIGINT,
    -- What a search looks at, in lower case.
    search TEXT COLLATE "C" NOT NULL,
    -- The rest, as JSON.
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization, id)
);

CREATE UNIQUE INDEX agents_name ON agents (organization, name) WHERE deleted_us IS NULL;

-- What agent sessions are listed and counted by, and nothing else: a count reads all rows of an organization, so
-- they are narrow. The rest of a session is in agent_bodies, under the same key.
CREATE TABLE agent_sessions (
    organization UUID NOT NULL,
    created_us BIGINT NOT NULL,
    tail BIGINT NOT NULL,
    -- Grows with every change that a reader could see.
    revision BIGINT NOT NULL,
    owner UUID NOT NULL,
    agent UUID NOT NULL,
    -- What workers claim by: as it was when the session was created.
    agent_name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C",
    playbook TEXT COLLATE "C",
    schedule TEXT COLLATE "C",
    automation TEXT COLLATE "C",
    parent_us BIGINT,
    parent_tail BIGINT,
    archived_us BIGINT,
    updated_us BIGINT NOT NULL,
    -- 'none', 'waiting' for a worker, or 'taken' by one; and since when.
    work TEXT COLLATE "C" NOT NULL,
    work_us BIGINT NOT NULL,
    -- Of what is taken: until when the worker has it, and the number of its claim. A heartbeat moves the first
    -- without a new revision.
    lease_us BIGINT,
    fence BIGINT,
    -- With the tail a list of several organizations is read from the key alone.
    PRIMARY KEY (organization, created_us) INCLUDE (tail)
);

-- Lists across organizations (the account's administrators).
CREATE INDEX agent_sessions_account ON agent_sessions (created_us, tail);
-- Of those it leaves out, so that no list reads all organizations.
CREATE INDEX organizations_deleted ON organizations (id) WHERE deleted_us IS NOT NULL;
-- Claims: what waits is little, and within an organization the oldest goes first.
CREATE INDEX agent_sessions_waiting ON agent_sessions (organization, work_us, created_us) WHERE work = 'waiting';
CREATE INDEX agent_sessions_taken ON agent_sessions (lease_us) WHERE work = 'taken';

CREATE TABLE agent_bodies (
    organization UUID NOT NULL,
    created_us BIGINT NOT NULL,
    -- Title and previews in lower case: what a search looks at.
    search TEXT COLLATE "C" NOT NULL,
    -- The rest of the session, as JSON.
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization, created_us)
);

-- Deleted sessions whose messages and events are not all removed yet. Nothing is created in their place before.
CREATE TABLE agent_purges (
    organization UUID NOT NULL,
    session_us BIGINT NOT NULL,
    PRIMARY KEY (organization, session_us)
);

CREATE TABLE session_tags (
    organization UUID NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    session_us BIGINT NOT NULL,
    PRIMARY KEY (organization, tag, session_us)
);

CREATE TABLE session_repos (
    organization UUID NOT NULL,
    repo TEXT COLLATE "C" NOT NULL,
    session_us BIGINT NOT NULL,
    PRIMARY KEY (organization, repo, session_us)
);

-- What callers put on top of their lists; each has its own.
CREATE TABLE pins (
    organization UUID NOT NULL,
    principal UUID NOT NULL,
    session_us BIGINT NOT NULL,
    PRIMARY KEY (organization, principal, session_us)
);

-- What was said, without gaps.
CREATE TABLE messages (
    organization UUID NOT NULL,
    session_us BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    id UUID NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    author UUID,
    at_us BIGINT NOT NULL,
    -- How many files came with it.
    attachments BIGINT NOT NULL,
    -- The whole message, as JSON.
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization, session_us, sequence)
);

-- What happened, without gaps. An event's id carries its sequence, so ids need no index.
CREATE TABLE events (
    organization UUID NOT NULL,
    session_us BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    at_us BIGINT NOT NULL,
    turn UUID,
    -- The message that the turn answers.
    input UUID,
    data TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization, session_us, sequence)
);

-- Whose work was claimed when, as a number that grows with every claim: the organization with the smallest one
-- is served next. Its row is made with its first session.
CREATE TABLE served (
    organization UUID PRIMARY KEY,
    number BIGINT NOT NULL
);

CREATE INDEX served_number ON served (number);

-- What a session used on a day (days since 1970, UTC). It outlives the session: what was used is owed.
CREATE TABLE usage_days (
    organization UUID NOT NULL,
    day BIGINT NOT NULL,
    session_us BIGINT NOT NULL,
    session_tail BIGINT NOT NULL,
    owner UUID NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,
    -- Millionths of a unit.
    acus BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_creation_tokens BIGINT NOT NULL,
    PRIMARY KEY (organization, day, session_us, session_tail)
);

-- Secrets of sessions, sealed before they come here.
CREATE TABLE secrets (
    organization UUID NOT NULL,
    session_us BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    ciphertext BYTEA NOT NULL,
    -- 1 when it may not be shown to people again.
    sensitive BIGINT NOT NULL,
    PRIMARY KEY (organization, session_us, name)
);

-- Answers that are given again when a request is repeated.
CREATE TABLE idempotency (
    organization UUID NOT NULL,
    -- SHA-256 of who asked, on which wire, what, and with which key.
    scope BYTEA NOT NULL,
    -- SHA-256 of the request's body: another request with the same key is refused.
    digest BYTEA NOT NULL,
    -- What the request made, noted with it: a server that dies after that has not answered yet.
    made UUID,
    -- NULL while the first request is at work.
    status BIGINT,
    headers TEXT COLLATE "C",
    body BYTEA,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    PRIMARY KEY (organization, scope)
);

CREATE INDEX idempotency_expires ON idempotency (expires_us);

-- What administrators did, numbered over the whole account. The account's own is under the all-zero organization.
CREATE TABLE audit (
    organization UUID NOT NULL,
    sequence BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    -- NULL when it was done at the machine.
    principal UUID,
    action TEXT COLLATE "C" NOT NULL,
    thing TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization, sequence)
);

CREATE UNIQUE INDEX audit_sequence ON audit (sequence);
