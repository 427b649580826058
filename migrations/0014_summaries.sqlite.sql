-- What the index of sessions needs of an agent session and has no column of its own, so that a server that starts reads
-- no bodies: a JSON object. It says for which revision it was written. Where that is not the row's, the body counts.
ALTER TABLE agent_sessions ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

-- From here on, each database has words of its own.

UPDATE agent_sessions SET labels = (
    SELECT json_object(
        'version', 1,
        'revision', agent_sessions.revision,
        'owner_kind', b.body -> '$.given.owner_kind',
        'titled', json(iif(b.body ->> '$.given.title' IS NULL, 'false', 'true')),
        'tags', b.body -> '$.given.tags',
        'repos', b.body -> '$.given.repos',
        'model', b.body -> '$.given.model',
        'ended', json(iif(b.body ->> '$.ended' IS NULL, 'null',
                          json_array(b.body -> '$.ended[0]', b.body -> '$.ended[1].reason'))),
        'acus', b.body -> '$.usage.acus',
        'input_tokens', b.body -> '$.usage.input_tokens',
        'output_tokens', b.body -> '$.usage.output_tokens')
    FROM agent_bodies b
    WHERE b.organization = agent_sessions.organization AND b.created_us = agent_sessions.created_us)
WHERE EXISTS (SELECT 1 FROM agent_bodies b
              WHERE b.organization = agent_sessions.organization AND b.created_us = agent_sessions.created_us);
