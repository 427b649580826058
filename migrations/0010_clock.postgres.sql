-- The time that a server last believed: one that starts with a clock far ahead of it deletes nothing at first.

CREATE TABLE clock (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    believed_us BIGINT NOT NULL
);
