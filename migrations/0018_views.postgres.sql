-- Saved views of lists of sessions: a person's own, and those that the members of an organization share.

CREATE TABLE views (
    -- The person, or the organization of a shared view.
    owner UUID NOT NULL,
    id UUID NOT NULL,
    -- 1 when the owner is an organization.
    shared BIGINT NOT NULL,
    -- Who saved it first.
    creator UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- The filter in canonical text, and as somebody wrote it, whose relative times stay relative.
    filter TEXT NOT NULL,
    written TEXT NOT NULL,
    -- The name of a field, with - in front for the greatest first; NULL for the newest first.
    sorting TEXT,
    -- The names of fields, as a JSON list.
    fields TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (owner, id)
);

CREATE UNIQUE INDEX views_name ON views (owner, name);
