-- Who comes by an issuer of OpenID Connect, and which memberships they have by their groups there.

-- Whom an issuer calls what. Not by address: the issuer may give an address that one person had to another.
CREATE TABLE identities (
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    principal UUID NOT NULL,
    linked_us BIGINT NOT NULL,
    -- When somebody last came with it.
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

-- A person has one at an issuer; they go with the person.
CREATE UNIQUE INDEX identities_principal ON identities (principal, issuer);

-- 1 for a membership that somebody's groups gave and may change and take away; 0 for one that was given by hand.
ALTER TABLE members ADD COLUMN by_groups BIGINT NOT NULL DEFAULT 0;
