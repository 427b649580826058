//! The time that a server last believed.

use crate::access::System;
use crate::database::Columns;
use crate::rows::{any_rows, batch, values};
use crate::{Result, Store};
use domain::time::Micros;

impl Store {
    /// The time that a server last believed. If there is none, the latest time at which something was created.
    pub async fn load_believed_time(&self, system: &System) -> Result<Option<Micros>> {
        let rows =
            self.read_unscoped(system, "SELECT believed_us FROM clock WHERE id = 1", values![]).await?;
        match rows.read_first(Columns::time)? {
            Some(believed) => Ok(Some(believed)),
            None => self.load_newest_time(system).await,
        }
    }

    /// Stores a believed time.
    pub async fn store_believed_time(&self, _: &System, now: Micros) -> Result<()> {
        let sql = "INSERT INTO clock (id, believed_us) VALUES (1, $1)
                   ON CONFLICT (id) DO UPDATE SET believed_us = excluded.believed_us";
        Ok(self.database.apply(batch([], vec![any_rows(sql, values![now])])).await?)
    }
}
