-- The address that a sub user was made with, where another user has it already. The maker is shown it as if it were the
-- sub user's own.
ALTER TABLE principals ADD COLUMN wanted_email TEXT;
CREATE INDEX principals_wanted ON principals (wanted_email) WHERE wanted_email IS NOT NULL;
