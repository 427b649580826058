//! Tests of query plans. Both databases answer the frequent queries by an index.

mod agents;
mod device_sessions;
mod directory;
mod search;
mod summaries;
