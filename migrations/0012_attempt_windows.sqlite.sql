-- Budgets of attempts have windows of different lengths, so a row says when its window ends and not when it began. The
-- attempts that were counted before are over with this step.
DROP INDEX sign_in_attempts_since;
ALTER TABLE sign_in_attempts RENAME COLUMN since_us TO until_us;
CREATE INDEX sign_in_attempts_until ON sign_in_attempts (until_us);
