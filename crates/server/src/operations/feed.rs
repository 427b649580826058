//! The change feed: pages of it, and a follower.

use crate::app::App;
use crate::failure::Failure;
use crate::signals::CommitWatch;
use domain::Refusal;
use domain::ids::OrganizationId;
use domain::session::FeedEntry;
use std::collections::BTreeMap;
use store::access::ViewSessions;
use store::{FeedPage, Granted, System, Topic};

/// How many entries a follower reads at once.
const BATCH: u32 = 1_000;

/// Lists at most `limit` entries of an organization's change feed after a position.
///
/// # Errors
/// [`domain::Refusal::Resync`] when entries after the position were deleted for their age.
pub async fn list_changes(
    app: &App,
    granted: &Granted<ViewSessions>,
    after: i64,
    limit: u32,
) -> Result<FeedPage, Failure> {
    Ok(app.store.list_changes(granted, after, limit).await?)
}

/// Changes that a follower has not seen before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedBatch {
    /// The changes of sessions; those of one organization in the order of commits.
    pub entries: Vec<FeedEntry>,
    /// Organizations that were deleted, with all of their sessions.
    pub deleted: Vec<OrganizationId>,
    /// Organizations whose next entries were deleted for their age, or that were restored from a backup. All of their
    /// sessions must be read again, after this batch was received: the follower continues from the newest entry.
    pub resync: Vec<OrganizationId>,
}

impl FeedBatch {
    fn is_empty(&self) -> bool {
        *self == FeedBatch::default()
    }
}

/// Follows the change feed of one organization, or of all and of login sessions, from a position. It holds only
/// positions, so a slow reader costs no memory and misses no entry.
pub struct Follower {
    app: App,
    /// `None` for everything.
    granted: Option<Granted<ViewSessions>>,
    /// The sequence of the last entry read, for each organization; 0 for one that is missing.
    positions: BTreeMap<OrganizationId, i64>,
    commits: CommitWatch,
    /// Whether there may be entries already.
    more: bool,
}

impl Follower {
    /// Follows an organization's feed after a position. It does not check credentials: the caller does so regularly.
    pub fn follow_organization(app: &App, granted: Granted<ViewSessions>, after: i64) -> Follower {
        let organization = granted.organization();
        Follower::start(app, Some(granted), [(organization, after)].into(), Topic::Feed(organization.0))
    }

    /// Follows all feeds after positions from [`store::Store::load_feed_positions`].
    pub fn follow_everything(app: &App, positions: BTreeMap<OrganizationId, i64>) -> Follower {
        Follower::start(app, None, positions, Topic::AnyFeed)
    }

    fn start(
        app: &App,
        granted: Option<Granted<ViewSessions>>,
        positions: BTreeMap<OrganizationId, i64>,
        topic: Topic,
    ) -> Follower {
        let commits = CommitWatch::start(app, [topic]);
        Follower { app: app.clone(), granted, positions, commits, more: true }
    }

    /// The sequence of the last entry read, for each organization.
    pub fn positions(&self) -> &BTreeMap<OrganizationId, i64> {
        &self.positions
    }

    /// Waits for the next batch, of at most 1,000 entries; `None` when the server stops. Cancelling it loses no entry.
    ///
    /// # Errors
    /// [`Failure::Unanswered`] and [`Failure::Internal`]. The next call tries again.
    pub async fn next(&mut self) -> Result<Option<FeedBatch>, Failure> {
        loop {
            if !self.more && !self.commits.wait().await {
                return Ok(None);
            }
            self.more = true;
            let batch = self.read().await?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
    }

    /// Reads what there is now. Everything that it learns is stored at the end, so that cancelling it changes nothing.
    async fn read(&mut self) -> Result<FeedBatch, Failure> {
        let (mut batch, mut more) = (FeedBatch::default(), false);
        let mut positions = BTreeMap::new();
        for granted in self.list_extended_feeds().await? {
            let organization = granted.organization();
            let room = BATCH.saturating_sub(u32::try_from(batch.entries.len()).unwrap_or(u32::MAX));
            if room == 0 {
                more = true;
                break;
            }
            match self.app.store.list_changes(&granted, self.position(organization), room).await {
                Ok(page) => {
                    more |= page.last < page.latest;
                    positions.insert(organization, page.last);
                    batch.entries.extend(page.entries);
                    batch.deleted.extend(page.organization_deleted.then_some(organization));
                }
                Err(store::Error::Refused(Refusal::Resync { latest, .. })) => {
                    positions.insert(organization, latest);
                    batch.resync.push(organization);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.positions.extend(positions);
        self.more = more;
        Ok(batch)
    }

    /// The feeds that may have new entries.
    async fn list_extended_feeds(&self) -> Result<Vec<Granted<ViewSessions>>, Failure> {
        if let Some(granted) = &self.granted {
            return Ok(vec![granted.clone()]);
        }
        let system = System::for_background_jobs();
        let newest = self.app.store.load_feed_positions(&system).await?;
        let extended =
            newest.into_iter().filter(|(organization, latest)| *latest != self.position(*organization));
        Ok(extended.map(|(organization, _)| system.grant(organization)).collect())
    }

    fn position(&self, organization: OrganizationId) -> i64 {
        self.positions.get(&organization).copied().unwrap_or(0)
    }
}
