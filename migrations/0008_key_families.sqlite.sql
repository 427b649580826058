-- What keys were made with and from where they may be used, whose passwords somebody else chose, and with what right
-- an answer was given that is kept to be given again.

-- The key that a key was made with, or that opened the login session it was made in; revoking it revokes this one.
ALTER TABLE credentials ADD COLUMN made_by BLOB;
-- When the login session was created that a key was made in; `logins` has the rest of it.
ALTER TABLE credentials ADD COLUMN made_in INTEGER;
-- From where a key may be used, as ranges with blanks between; NULL is from everywhere.
ALTER TABLE credentials ADD COLUMN networks TEXT;

CREATE INDEX credentials_made_by ON credentials (made_by) WHERE made_by IS NOT NULL;

-- The organization in which somebody else chose a person's password; NULL once the person chose one. It signs them in
-- only while they are a member of no other organization and have no role in the account.
ALTER TABLE principals ADD COLUMN password_given_in BLOB;

-- Of sub users there are, nobody knows who chose their password.
UPDATE principals SET password_given_in = default_organization
WHERE parent IS NOT NULL AND password_hash IS NOT NULL;

-- SHA-256 of what the caller was allowed to do when the request came first; see `idempotency.rs`.
ALTER TABLE idempotency ADD COLUMN authority BLOB;
