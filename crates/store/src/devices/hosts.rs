//! Hosts: the machines that devices hang on, and which server has them on the line.

use crate::access::{ConnectHosts, Granted, GrantedAccount, System};
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::ids::{HostId, NodeId, OrganizationId};
use domain::time::Micros;

/// The proof that a connection is a host's, and whose: its devices are the organization's, or the shared pool's.
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

    /// What it calls itself, unique among its owner's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose its devices are; [`OrganizationId::ACCOUNT`] for the shared pool.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }
}

impl Store {
    /// A host of an organization is on the line of this server.
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

    /// A host of the shared pool is on the line of this server.
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
        let rows = self.read_unscoped(&System::background_jobs(), sql, values![organization, name]).await?;
        let host = rows.first().map_or(Ok(new.0), |row| row.id(0))?;
        Ok(HostLink { organization, host: HostId(host), name: name.to_owned() })
    }

    /// These hosts are still on the line of this server.
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

    /// A host is no longer on the line of this server. Its devices stay online until it has been away from every
    /// server for a while: it may only be reconnecting. So they keep the time at which it was last seen.
    pub async fn remove_host_link(&self, _: &System, node: NodeId, host: HostId) -> Result<()> {
        let seen = any_rows(
            "UPDATE devices SET seen_us = (SELECT seen_us FROM links WHERE host = $1 AND node = $2)
             WHERE host = $1 AND seen_us < (SELECT seen_us FROM links WHERE host = $1 AND node = $2)",
            values![host, node],
        );
        let delete = any_rows("DELETE FROM links WHERE host = $1 AND node = $2", values![host, node]);
        Ok(self.database.apply(batch([OrganizationId::ACCOUNT], vec![seen, delete])).await?)
    }
}
