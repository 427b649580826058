-- Saved views of lists of sessions: a person's own, and those that the members of an organization share.

CREATE TABLE views (
    -- The person, or the organization of a shared view.
    owner BLOB NOT NULL,
    id BLOB NOT NULL,
    -- 1 when the owner is an organization.
    shared INTEGER NOT NULL,
    -- Who saved it first.
    creator BLOB NOT NULL,
    name TEXT NOT NULL,
    -- The filter in canonical text, and as somebody wrote it, whose relative times stay relative.
    filter TEXT NOT NULL,
    written TEXT NOT NULL,
    -- The name of a field, with - in front for the greatest first; NULL for the newest first.
    sorting TEXT,
    -- The names of fields, as a JSON list.
    fields TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX views_name ON views (owner, name);
