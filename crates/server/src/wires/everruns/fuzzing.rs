//! Entry points for the fuzz targets.

use super::query::{read_paging, unknown_warning, warning_header};
use super::{events, filter, ids};
use crate::http::query::Query;

/// Reads a text as each kind of id.
pub fn ids(text: &str) {
    if let Ok(id) = ids::read_session(text) {
        assert_eq!(ids::session(id).to_string(), text);
    }
    let _ =
        (ids::read_agent(text), ids::read_agent_filter(text), ids::read_event(text), ids::read_turn(text));
}

/// Reads a query as the lists do.
pub fn filters(raw: &str) {
    let query = Query::read(raw);
    let _ = (read_paging(&query), events::EventKinds::read(&query));
    if let Ok(read) = filter::read(&query, None) {
        assert_eq!(filter::read(&query, None).ok(), Some(read));
    }
    if let Some(warning) = unknown_warning(&query, &filter::PARAMETERS) {
        let header = warning_header(&warning);
        assert!(axum::http::HeaderValue::from_str(&header).is_ok(), "{header:?} is no header");
    }
}
