-- How people come into an organization, and how a program signs in as one of them.

-- Who was invited, by address: whether somebody has it makes no difference. What has ended is kept.
CREATE TABLE invitations (
    organization BLOB NOT NULL,
    id BLOB NOT NULL,
    -- In its one form.
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    inviter BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    ended_us INTEGER,
    PRIMARY KEY (organization, id)
) STRICT, WITHOUT ROWID;

-- One that is open for each address and organization; and those of an address, across organizations.
CREATE UNIQUE INDEX invitations_open ON invitations (email, organization) WHERE state = 'open';

-- Programs that wait until a person lets them in (RFC 8628).
CREATE TABLE device_logins (
    -- SHA-256 of the code that the program has.
    hash BLOB PRIMARY KEY,
    -- SHA-256 of the one that a person types.
    user_code BLOB NOT NULL UNIQUE,
    client TEXT NOT NULL,
    remote_ip TEXT,
    agent TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    -- How long the program has to wait between its questions, and when it asked last.
    interval_us INTEGER NOT NULL,
    polled_us INTEGER,
    state TEXT NOT NULL,
    -- Who let it in, into which organization, and signed in with which session.
    principal BLOB,
    organization BLOB,
    login_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX device_logins_expires ON device_logins (expires_us);
