-- How people come into an organization, and how a program signs in as one of them.

-- Who was invited, by address: whether somebody has it makes no difference. What has ended is kept.
CREATE TABLE invitations (
    organization UUID NOT NULL,
    id UUID NOT NULL,
    -- In its one form.
    email TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    inviter UUID NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    ended_us BIGINT,
    PRIMARY KEY (organization, id)
);

-- One that is open for each address and organization; and those of an address, across organizations.
CREATE UNIQUE INDEX invitations_open ON invitations (email, organization) WHERE state = 'open';

-- Programs that wait until a person lets them in (RFC 8628).
CREATE TABLE device_logins (
    -- SHA-256 of the code that the program has.
    hash BYTEA PRIMARY KEY,
    -- SHA-256 of the one that a person types.
    user_code BYTEA NOT NULL UNIQUE,
    client TEXT COLLATE "C" NOT NULL,
    remote_ip TEXT COLLATE "C",
    agent TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    -- How long the program has to wait between its questions, and when it asked last.
    interval_us BIGINT NOT NULL,
    polled_us BIGINT,
    state TEXT COLLATE "C" NOT NULL,
    -- Who let it in, into which organization, and signed in with which session.
    principal UUID,
    organization UUID,
    login_us BIGINT
);

CREATE INDEX device_logins_expires ON device_logins (expires_us);
