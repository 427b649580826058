//! Ids of every wire: a parsed id is written in one form, which is parsed to the same id.
#![no_main]

use domain::ids::{OrganizationId, SessionId, parse_uuid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(id) = SessionId::parse(text) {
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(SessionId::new(id.creation_time(), id.tail()), id, "a time and a tail are the whole of it");
    }
    if let Some(id) = OrganizationId::parse(text) {
        assert_eq!(OrganizationId::parse(&id.to_string()), Some(id));
    }
    if let Some(id) = parse_uuid(text) {
        assert_eq!(parse_uuid(&id.to_string()), Some(id));
    }
    server::fuzzing::ids(text);
});
