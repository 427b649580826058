//! Saved views of lists of sessions.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::visible::VisibleSessions;
use crate::access::{Granted, GrantedPerson, System, UseSessions};
use crate::database::{Columns, DatabaseError, Statement, Value};
use crate::devices::overview::of_organizations;
use crate::rows::{batch, to_json, values};
use crate::{Error, Result, Store};
use domain::Refusal;
use domain::ids::{OrganizationId, PrincipalId, ViewId};
use domain::refusal::Thing;
use domain::view::{ListView, MAX_VIEWS, ViewContent};
use uuid::Uuid;

/// The right to change views.
#[derive(Debug)]
pub enum ViewGrant {
    /// A person's own.
    Own(GrantedPerson),
    /// Those that the members of an organization share.
    Shared(Granted<UseSessions>),
}

impl ViewGrant {
    /// The organization whose members share the views.
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            ViewGrant::Own(_) => None,
            ViewGrant::Shared(granted) => Some(granted.organization()),
        }
    }

    /// Whose row of counters the changes lock.
    fn lock(&self) -> OrganizationId {
        self.organization().unwrap_or(OrganizationId::PEOPLE)
    }

    fn one_row(&self, sql: &'static str, values: Vec<Value>) -> Statement {
        match self {
            ViewGrant::Own(own) => own.one_row(sql, values),
            ViewGrant::Shared(granted) => granted.one_row(sql, values),
        }
    }

    fn record_creation(&self, id: ViewId) -> Option<Statement> {
        match self {
            ViewGrant::Own(own) => record_creation(own, id.0),
            ViewGrant::Shared(granted) => record_creation(granted, id.0),
        }
    }

    /// Expects that no other view of the owner has a name. The batch has locked a row that all who name views of the owner
    /// lock.
    fn name_is_free(&self, id: ViewId, name: &str) -> Statement {
        self.one_row(
            "UPDATE counters SET sequence = sequence WHERE organization = $2 AND NOT EXISTS
                 (SELECT 1 FROM views WHERE owner = $1 AND name = $3 AND id <> $4)",
            values![self.lock(), name, id],
        )
    }
}

/// The columns of a view; see [`read_view`].
macro_rules! view_columns {
    () => {
        "SELECT owner, id, shared, creator, name, filter, written, sorting, fields, created_us, updated_us FROM views "
    };
}

const VISIBLE: [&str; 2] =
    of_organizations!(concat!(view_columns!(), "WHERE owner IN "), " ORDER BY name, owner, id");

const ONE: [&str; 2] = of_organizations!(concat!(view_columns!(), "WHERE owner IN "), " AND id = $2");

impl Store {
    /// The views that the visible organizations share, and the person's own.
    pub async fn list_views(
        &self,
        visible: &VisibleSessions,
        own: Option<&GrantedPerson>,
    ) -> Result<Vec<ListView>> {
        let owners = self.list_view_owners(visible, own).await?;
        let sql = self.choose_dialect(VISIBLE);
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), values![owners]).await?;
        Ok(rows.read_all(read_view)?)
    }

    /// One of the views that [`Store::list_views`] lists.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_view(
        &self,
        visible: &VisibleSessions,
        own: Option<&GrantedPerson>,
        id: ViewId,
    ) -> Result<ListView> {
        let owners = self.list_view_owners(visible, own).await?;
        let sql = self.choose_dialect(ONE);
        let rows = self.read_unscoped(&System::for_granted_reads(), Scan(sql), values![owners, id]).await?;
        rows.read_first(read_view)?.ok_or(Refusal::NotFound(Thing::View).into())
    }

    async fn list_view_owners(
        &self,
        visible: &VisibleSessions,
        own: Option<&GrantedPerson>,
    ) -> Result<String> {
        let organizations = self.list_existing_organizations(visible).await?;
        let owners = organizations.into_iter().map(|one| one.0).chain(own.map(|own| own.person().0));
        let owners = owners.map(|id| id.simple().to_string()).collect::<Vec<_>>();
        Ok(serde_json::Value::from(owners).to_string())
    }

    /// The view that an earlier attempt at this request created. `None` also for a request without an idempotency key.
    pub async fn find_earlier_view(&self, grant: &ViewGrant) -> Result<Option<ViewId>> {
        let created = match grant {
            ViewGrant::Own(own) => self.find_earlier_creation(own).await?,
            ViewGrant::Shared(granted) => self.find_earlier_creation(granted).await?,
        };
        Ok(created.map(ViewId))
    }

    /// Stores a new view.
    ///
    /// # Errors
    /// [`Refusal::ViewLimit`]; [`Refusal::Exists`] for a name that another view of the owner has.
    pub async fn create_view(&self, grant: &ViewGrant, view: &ListView) -> Result<()> {
        assert_eq!(grant.organization(), view.organization, "a grant is for its own views only");
        let ViewContent { name, filter, written, order, columns } = &view.content;
        let has_room = grant.one_row(
            "UPDATE counters SET sequence = sequence
             WHERE organization = $2 AND (SELECT COUNT(*) FROM views WHERE owner = $1) < $3",
            values![grant.lock(), MAX_VIEWS],
        );
        let insert = grant.one_row(
            "INSERT INTO views (owner, id, shared, creator, name, filter, written, sorting, fields, created_us, updated_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            values![
                view.id,
                view.organization.is_some(),
                view.creator,
                name.as_str(),
                filter.as_str(),
                written.as_str(),
                order.as_deref(),
                to_json(columns)?,
                view.created,
                view.updated
            ],
        );
        let statements = [has_room, grant.name_is_free(view.id, name), insert].into_iter();
        let statements = statements.chain(grant.record_creation(view.id)).collect();
        self.apply(batch([grant.lock()], statements), |at| match at {
            0 => Refusal::ViewLimit { max: MAX_VIEWS }.into(),
            1 => name_exists(name),
            _ => Error::Stale,
        })
        .await
    }

    /// Stores what a view shows from now on.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::Exists`] for a name that another view of the owner has.
    pub async fn update_view(&self, grant: &ViewGrant, view: &ListView) -> Result<()> {
        let ViewContent { name, filter, written, order, columns } = &view.content;
        let update = grant.one_row(
            "UPDATE views SET name = $3, filter = $4, written = $5, sorting = $6, fields = $7, updated_us = $8
             WHERE owner = $1 AND id = $2",
            values![
                view.id,
                name.as_str(),
                filter.as_str(),
                written.as_str(),
                order.as_deref(),
                to_json(columns)?,
                view.updated
            ],
        );
        let statements = vec![grant.name_is_free(view.id, name), update];
        self.apply(batch([grant.lock()], statements), |at| match at {
            0 => name_exists(name),
            _ => Refusal::NotFound(Thing::View).into(),
        })
        .await
    }

    /// Deletes a view.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn delete_view(&self, grant: &ViewGrant, id: ViewId) -> Result<()> {
        let delete = grant.one_row("DELETE FROM views WHERE owner = $1 AND id = $2", values![id]);
        self.apply(batch([grant.lock()], vec![delete]), |_| Refusal::NotFound(Thing::View).into()).await
    }
}

fn name_exists(name: &str) -> Error {
    Refusal::Exists(format!("a view named {name:?}")).into()
}

fn read_view(columns: &mut Columns) -> Result<ListView, DatabaseError> {
    let (owner, id, shared): (Uuid, _, _) = (columns.id()?, ViewId(columns.id()?), columns.flag()?);
    Ok(ListView {
        id,
        organization: shared.then_some(OrganizationId(owner)),
        creator: PrincipalId(columns.id()?),
        content: ViewContent {
            name: columns.text()?,
            filter: columns.text()?,
            written: columns.text()?,
            order: columns.maybe_text()?,
            columns: columns.json()?,
        },
        created: columns.time()?,
        updated: columns.time()?,
    })
}
