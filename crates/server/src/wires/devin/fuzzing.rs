//! Entry points for the fuzz targets.

use super::cursor::Binding;
use super::filter::{SessionListFilter, read_paging};
use super::query::Query;
use super::shapes::{read_principal_id, read_session_id, session_id};
use domain::principal::PrincipalKind;
use uuid::Uuid;

/// Reads a text as each kind of id.
pub fn ids(text: &str) {
    let id = read_session_id(text);
    if let Some(id) = id {
        assert_eq!(read_session_id(&session_id(id)), Some(id));
    }
    let once = if text.starts_with("devin-") { None } else { id };
    assert_eq!(read_session_id(&format!("devin-{text}")), once, "it is taken off once");
    let person = read_principal_id(text, PrincipalKind::User);
    assert!(person.is_none() || read_principal_id(text, PrincipalKind::ServiceUser).is_none());
}

/// Reads a text as a cursor, and a valid cursor with one byte changed.
pub fn cursors(text: &str, position: u128, at: usize, flip: u8, filter: &str) {
    let binding = |list, filter| Binding::new([7; 32], list, Uuid::nil(), Uuid::max(), filter);
    let own = binding("sessions", filter);
    let Ok(good) = own.write(position) else { panic!("a cursor cannot be written") };
    assert!(matches!(own.read(&good), Ok(found) if found == position));
    if let Ok(found) = own.read(text) {
        assert_eq!(
            own.write(found).ok().as_deref(),
            Some(text.trim_end_matches('=')),
            "a made up cursor is taken"
        );
    }
    assert!(binding("insights", filter).read(&good).is_err(), "another list takes it");
    assert!(binding("sessions", &format!("{filter} ")).read(&good).is_err(), "another filter takes it");
    let mut bytes = good.clone().into_bytes();
    let at = at % bytes.len();
    bytes[at] ^= flip;
    if let Ok(altered) = String::from_utf8(bytes) {
        let same = altered.trim_end_matches('=') == good;
        assert!(same || own.read(&altered).is_err(), "an altered cursor is taken: {altered}");
    }
}

/// Reads a query as a list does.
pub fn filters(raw: &str) {
    let Ok(query) = Query::read(Some(raw)) else { return };
    let _ = read_paging(&query);
    for in_account in [false, true] {
        let (Ok(first), Ok(second)) =
            (SessionListFilter::read(&query, in_account), SessionListFilter::read(&query, in_account))
        else {
            continue;
        };
        assert_eq!(first.text(), second.text(), "cursors are bound to another text each time");
        let doubtful = first.ambiguous_tags();
        let _ = (first.resolve_tags(&doubtful), second.resolve_tags(&[]));
    }
}
