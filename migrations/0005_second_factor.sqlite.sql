-- Second factors of people.

-- What a person's app makes codes from. A person has one or none.
CREATE TABLE second_factors (
    principal BLOB PRIMARY KEY,
    -- Sealed with the master key, as the person's own: whoever reads the database can make no code.
    sealed BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    -- NULL until a first code has shown that the app has it; until then nobody is asked for one.
    confirmed_us INTEGER,
    -- The newest half minute whose code was used. No code of it or of one before is taken again.
    used_step INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What opens the door once when the app is lost.
CREATE TABLE recovery_codes (
    principal BLOB NOT NULL,
    -- SHA-256 of the person's id and the code.
    hash BLOB NOT NULL,
    PRIMARY KEY (principal, hash)
) STRICT, WITHOUT ROWID;

-- What a token that is used once goes on with, as JSON: the half of a sign-in that is done.
ALTER TABLE one_time_tokens ADD COLUMN data TEXT;
