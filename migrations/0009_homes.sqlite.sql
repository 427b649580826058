-- A service user has one home, an organization or the account, which alone looks after it: `default_organization`, NULL for
-- the account. It is fixed when the service user is made.

-- Who has a role in the account is at home there; others where they act by default, or where they have been a member longest.
UPDATE principals SET default_organization = CASE
    WHEN account_role IS NOT NULL THEN NULL
    ELSE COALESCE(
        default_organization,
        (SELECT m.organization FROM members m WHERE m.principal = principals.id ORDER BY m.created_us, m.organization LIMIT 1))
    END
WHERE kind = 'service_user';

-- It is a member of nothing else.
DELETE FROM members WHERE EXISTS (
    SELECT 1 FROM principals p
    WHERE p.id = members.principal AND p.kind = 'service_user'
      AND (p.default_organization IS NULL OR p.default_organization <> members.organization));

-- 1 for a role in the account that somebody's groups gave and may change and take away; 0 for one that was given by hand.
ALTER TABLE principals ADD COLUMN account_by_groups INTEGER NOT NULL DEFAULT 0;
