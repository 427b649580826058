-- Holds the place of the audit chain, which another branch brings.
SELECT 1;
