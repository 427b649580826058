//! Lists of sessions: the index says which, the store has them.

use crate::app::App;
use crate::failure::Failure;
use domain::page::{ListRange, ListSlice};
use domain::session::{Filter, ListScope};
use index::{Index, Selection, SessionRef};
use store::LoadedSessions;

/// How often a page is selected again when its sessions change while they are loaded.
const ATTEMPTS: usize = 4;

/// Loads the sessions of a page, of one kind.
pub trait SessionLoader {
    /// A session.
    type Session;

    /// Loads sessions by their keys, in the order of the list.
    fn load(
        &self,
        sessions: &[SessionRef],
    ) -> impl Future<Output = Result<LoadedSessions<Self::Session>, store::Error>> + Send;

    /// Which session this is, and its revision.
    fn session_ref(session: &Self::Session) -> SessionRef;
}

/// Lists a range of the sessions that match a filter, newest first, with the number of all of them.
pub async fn list_sessions<L: SessionLoader>(
    app: &App,
    loader: &L,
    scope: &ListScope,
    filter: &Filter,
    range: ListRange,
) -> Result<ListSlice<L::Session>, Failure> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let now = app.now();
        let select = |index: &Index| index.select(scope, filter, now, range);
        let Selection { sessions, total, more } = app.sessions.read(now, select).await?;
        if sessions.is_empty() {
            return Ok(ListSlice { items: Vec::new(), total, more });
        }
        let LoadedSessions { items, found } = loader.load(&sessions).await?;
        let as_selected =
            sessions.iter().zip(&items).all(|(selected, item)| *selected == L::session_ref(item));
        if attempt == ATTEMPTS || (as_selected && found == sessions.len()) {
            let more = more || items.len() < found;
            return Ok(ListSlice { items, total, more });
        }
        // A commit is seen in the database a moment before it is in the index.
        tokio::task::yield_now().await;
    }
}
