//! Hosts: machines with devices, and the servers that they are connected to.

use crate::access::{ConnectHosts, Granted, GrantedAccount, System};
use crate::database::Columns;
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::ids::{HostId, NodeId, OrganizationId};
use domain::time::Micros;

/// The proof that a connection belongs to a host of an organization or of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLink {
    organization: OrganizationId,
    host: HostId,
    name: String,
}

impl HostLink {
    /// The host.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// The host's name for itself, unique for its owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The owner of its devices; [`OrganizationId::ACCOUNT`] for the pool.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }
}

impl Store {
    /// Records that a host of an organization is connected to this server.
    pub async fn connect_host(
        &self,
        granted: &Granted<ConnectHosts>,
        new: HostId,
        name: &str,
        version: &str,
        node: NodeId,
        now: Micros,
    ) -> Result<HostLink> {
        self.insert_host_link(granted.organization(), new, name, version, node, now).await
    }

    /// Records that a host of the pool is connected to this server.
    pub async fn connect_pool_host(
        &self,
        _: &GrantedAccount<ConnectHosts>,
        new: HostId,
        name: &str,
        version: &str,
        node: NodeId,
        now: Micros,
    ) -> Result<HostLink> {
        self.insert_host_link(OrganizationId::ACCOUNT, new, name, version, node, now).await
    }

    async fn insert_host_link(
        &self,
        organization: OrganizationId,
        new: HostId,
        name: &str,
        version: &str,
        node: NodeId,
        now: Micros,
    ) -> Result<HostLink> {
        let host = any_rows(
            "INSERT INTO hosts (id, organization, name, version, created_us) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (organization, name) DO UPDATE SET version = excluded.version",
            values![new, organization, name, version, now],
        );
        let link = any_rows(
            "INSERT INTO links (host, node, seen_us)
             VALUES ((SELECT id FROM hosts WHERE organization = $1 AND name = $2), $3, $4)
             ON CONFLICT (host, node) DO UPDATE SET seen_us = excluded.seen_us",
            values![organization, name, node, now],
        );
        self.database.apply(batch([OrganizationId::ACCOUNT], vec![host, link])).await?;
        let sql = "SELECT id FROM hosts WHERE organization = $1 AND name = $2";
        let rows =
            self.read_unscoped(&System::for_background_jobs(), sql, values![organization, name]).await?;
        let host = rows.read_one(Columns::id)?;
        Ok(HostLink { organization, host: HostId(host), name: name.to_owned() })
    }

    /// Records that these hosts are still connected to this server.
    pub async fn renew_host_links(
        &self,
        _: &System,
        node: NodeId,
        hosts: &[HostId],
        now: Micros,
    ) -> Result<()> {
        let sql = "UPDATE links SET seen_us = $3 WHERE host = $1 AND node = $2";
        let statements =
            hosts.iter().map(|host| any_rows(sql, values![*host, node, now])).collect::<Vec<_>>();
        if statements.is_empty() {
            return Ok(());
        }
        Ok(self.database.apply(batch([], statements)).await?)
    }

    /// Records that a host is no longer connected to this server. It may be reconnecting, so its devices stay online,
    /// with the time at which the host was last seen, until it has been away from every server for a while.
    pub async fn remove_host_link(&self, _: &System, node: NodeId, host: HostId) -> Result<()> {
        let update = any_rows(
            "UPDATE devices SET seen_us = (SELECT seen_us FROM links WHERE host = $1 AND node = $2)
             WHERE host = $1 AND seen_us < (SELECT seen_us FROM links WHERE host = $1 AND node = $2)",
            values![host, node],
        );
        let delete = any_rows("DELETE FROM links WHERE host = $1 AND node = $2", values![host, node]);
        Ok(self.database.apply(batch([OrganizationId::ACCOUNT], vec![update, delete])).await?)
    }
}
