-- What the index of sessions needs of an agent session and has no column of its own, so that a server that starts reads
-- no bodies: a JSON object. It says for which revision it was written. Where that is not the row's, the body counts.
ALTER TABLE agent_sessions ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

-- From here on, each database has words of its own.

-- PostgreSQL parses no JSON with NUL or with half of a character of two. Clients and workers may have sent both, so
-- another character stands for them here. Labels that have it stay empty, and the body counts.
UPDATE agent_sessions s SET labels = made.labels
FROM (
    SELECT a.organization, a.created_us, CAST(json_build_object(
        'version', 1,
        'revision', a.revision,
        'owner_kind', given.owner_kind,
        'titled', given.title IS NOT NULL,
        'tags', given.tags,
        'repos', given.repos,
        'model', given.model,
        'ended', CASE WHEN body.ended IS NOT NULL
                      THEN json_build_array(body.ended -> 0, body.ended -> 1 -> 'reason') END,
        'acus', body.usage -> 'acus',
        'input_tokens', body.usage -> 'input_tokens',
        'output_tokens', body.usage -> 'output_tokens') AS TEXT) AS labels
    FROM agent_sessions a
    JOIN agent_bodies b ON b.organization = a.organization AND b.created_us = a.created_us
    CROSS JOIN LATERAL json_to_record(CAST(
        regexp_replace(b.body, '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\ufdd0', 'g') AS json))
        AS body (given json, ended json, usage json)
    CROSS JOIN LATERAL json_to_record(body.given)
        AS given (owner_kind json, title json, tags json, repos json, model json)
) made
WHERE made.organization = s.organization AND made.created_us = s.created_us
  AND strpos(made.labels, '\ufdd0') = 0 AND strpos(made.labels, chr(x'fdd0'::int)) = 0;

-- The transaction that wrote an entry of the change feed. A server asks for those that its last look has not seen, also
-- when they were committed late. The entries before this migration have its own, which every later look has seen.
ALTER TABLE changes ADD COLUMN tx xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX changes_tx ON changes (tx);

-- The newest transactions whose entries were pruned. A server whose last look has not seen one of them must read all
-- sessions.
CREATE TABLE pruned_changes (txs xid8[] NOT NULL);
INSERT INTO pruned_changes (txs) VALUES ('{}');

-- A restored dump may have numbers of another cluster, which are higher than all of this one.
CREATE FUNCTION changes_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pruned_changes SET txs = ARRAY(
        SELECT t.tx FROM (SELECT unnest(txs) AS tx UNION SELECT tx FROM pruned) t
        WHERE t.tx < pg_current_xact_id() ORDER BY t.tx DESC LIMIT 100)
    WHERE EXISTS (SELECT 1 FROM pruned);
    RETURN NULL;
END $$;

CREATE TRIGGER changes_pruned AFTER DELETE ON changes
    REFERENCING OLD TABLE AS pruned FOR EACH STATEMENT EXECUTE FUNCTION changes_pruned();
