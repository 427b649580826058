//! Uploaded apps, recordings and attachments. Their bytes are in the object store.

use crate::access::idempotency::record_creation;
use crate::access::lane::Scan;
use crate::access::reads::Scope;
use crate::access::{Granted, PermissionType, System, UseSessions};
use crate::database::{Columns, DatabaseError, Statement};
use crate::rows::{any_rows, batch, one_row, values};
use crate::{Result, Store};
use domain::Refusal;
use domain::ids::{FileId, OrganizationId, PrincipalId};
use domain::refusal::Thing;
use domain::time::Micros;

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// An app that a client uploads for installation.
    Upload,
    /// A recording of a screen, from a host.
    Recording,
    /// An attachment of a message.
    Attachment,
}

impl FileKind {
    /// The stored name.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Upload => "upload",
            FileKind::Recording => "recording",
            FileKind::Attachment => "attachment",
        }
    }

    fn parse(name: &str) -> Option<FileKind> {
        use FileKind::*;
        [Upload, Recording, Attachment].into_iter().find(|kind| kind.name() == name)
    }
}

/// A file to announce.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Its id.
    pub id: FileId,
    /// Its owner.
    pub principal: PrincipalId,
    /// Its purpose.
    pub kind: FileKind,
    /// Its name, which the wire has checked.
    pub name: String,
    /// Announced size in bytes.
    pub size: u64,
    /// SHA-256 of the token in its address.
    pub token_hash: [u8; 32],
    /// When it was announced.
    pub created: Micros,
    /// When it expires.
    pub expires: Micros,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its organization.
    pub organization: OrganizationId,
    /// Its id.
    pub id: FileId,
    /// Its owner.
    pub principal: PrincipalId,
    /// Its purpose.
    pub kind: FileKind,
    /// Its name.
    pub name: String,
    /// Size in bytes: announced, and actual once it is complete.
    pub size: u64,
    /// Whether all bytes have arrived.
    pub complete: bool,
    /// When it expires.
    pub expires: Micros,
}

const RESERVE: &str = "
    UPDATE files SET size = $3 WHERE organization = $1 AND id = $2 AND state = 'announced'
      AND (SELECT CAST(COALESCE(SUM(f.size), 0) AS BIGINT) FROM files f WHERE f.organization = $1 AND f.id <> $2) <= $4";

macro_rules! file_columns {
    () => {
        "organization, id, principal, kind, name, size, state, expires_us"
    };
}

impl Store {
    /// Announces a file. Its size counts against the quota (bytes) from now on.
    ///
    /// # Errors
    /// [`Refusal::QuotaExceeded`].
    pub async fn announce_file(
        &self,
        granted: &Granted<UseSessions>,
        new: &NewFile,
        quota: u64,
    ) -> Result<()> {
        let size = i64::try_from(new.size).unwrap_or(i64::MAX);
        let limit = i64::try_from(quota).unwrap_or(i64::MAX);
        let statements = vec![
            granted.one_row(
                "UPDATE organizations SET name = name WHERE id = $1
                   AND (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM files WHERE organization = $1) <= $2",
                values![limit.saturating_sub(size)],
            ),
            granted.one_row(
                "INSERT INTO files (organization, id, principal, kind, name, size, state, token_hash, created_us,
                                    expires_us)
                 VALUES ($1, $2, $3, $4, $5, $6, 'announced', $7, $8, $9)",
                values![
                    new.id,
                    new.principal,
                    new.kind.name(),
                    new.name.as_str(),
                    size,
                    &new.token_hash[..],
                    new.created,
                    new.expires
                ],
            ),
        ];
        let used = self.count_used_bytes(granted).await?;
        let refusal = Refusal::QuotaExceeded { requested: new.size, left: quota.saturating_sub(used), quota };
        self.apply(batch([granted.organization()], statements), |_| refusal.clone().into()).await
    }

    /// Reserves `size` bytes of the quota for a file of unknown size that is being uploaded. Returns whether they
    /// fit.
    pub async fn reserve_bytes(&self, file: &StoredFile, size: u64, quota: u64) -> Result<bool> {
        let [size, quota] = [size, quota].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let values = values![file.organization, file.id, size, quota.saturating_sub(size)];
        // The organization's counter is locked by then, so two uploads cannot both take the last bytes.
        match self.database.apply(batch([file.organization], vec![one_row(RESERVE, values)])).await {
            Ok(()) => Ok(true),
            Err(DatabaseError::Unmet { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The total size of the organization's files in bytes, announced ones included.
    pub async fn count_used_bytes(&self, granted: &Granted<UseSessions>) -> Result<u64> {
        // SUM returns NUMERIC in PostgreSQL; the cast keeps one type for both databases.
        let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM files WHERE organization = $1";
        let rows = self.read(granted, Scan(sql), values![]).await?;
        Ok(rows.read_one(Columns::count)?)
    }

    /// A file of the organization.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it has expired.
    pub async fn load_file<P: PermissionType>(
        &self,
        granted: &Granted<P>,
        id: FileId,
        now: Micros,
    ) -> Result<StoredFile> {
        let sql = concat!(
            "SELECT ",
            file_columns!(),
            " FROM files WHERE organization = $1 AND id = $2 AND expires_us > $3"
        );
        let rows = self.read(granted, sql, values![id, now]).await?;
        rows.read_first(read_file)?.ok_or(Refusal::NotFound(Thing::File).into())
    }

    /// The file whose address has this token. The token is the proof of access.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], also when it has expired.
    pub async fn load_file_by_token(&self, token_hash: [u8; 32], now: Micros) -> Result<StoredFile> {
        let sql =
            concat!("SELECT ", file_columns!(), " FROM files WHERE token_hash = $1 AND expires_us > $2");
        let rows =
            self.read_unscoped(&System::for_secret_lookup(), sql, values![&token_hash[..], now]).await?;
        rows.read_first(read_file)?.ok_or(Refusal::NotFound(Thing::File).into())
    }

    /// A file that a host needs for a call to a device.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn load_file_for_host(&self, system: &System, id: FileId, now: Micros) -> Result<StoredFile> {
        let sql = concat!("SELECT ", file_columns!(), " FROM files WHERE id = $1 AND expires_us > $2");
        let rows = self.read_unscoped(system, sql, values![id, now]).await?;
        rows.read_first(read_file)?.ok_or(Refusal::NotFound(Thing::File).into())
    }

    /// Marks a file as complete, with its actual size in bytes.
    pub async fn complete_file(&self, file: &StoredFile, size: u64) -> Result<()> {
        self.complete_with(file, size, file.expires, None).await
    }

    /// Marks an attachment as complete, with its actual size and expiry. It was announced in the same request, so
    /// nobody could find it before.
    pub async fn complete_attachment(
        &self,
        granted: &Granted<UseSessions>,
        file: &StoredFile,
        size: u64,
        expires: Micros,
    ) -> Result<()> {
        assert_eq!(granted.organization(), file.organization, "a grant is for its own organization only");
        self.complete_with(file, size, expires, record_creation(granted, file.id.0)).await
    }

    async fn complete_with(
        &self,
        file: &StoredFile,
        size: u64,
        expires: Micros,
        creation: Option<Statement>,
    ) -> Result<()> {
        let sql = "UPDATE files SET state = 'complete', size = $3, expires_us = $4
                   WHERE organization = $1 AND id = $2";
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let complete = one_row(sql, values![file.organization, file.id, size, expires]);
        let statements = std::iter::once(complete).chain(creation).collect();
        let batch = batch([file.organization], statements);
        self.apply(batch, |_| Refusal::NotFound(Thing::File).into()).await
    }

    /// Expired files, at most 1000.
    pub async fn list_expired_files(&self, system: &System, now: Micros) -> Result<Vec<StoredFile>> {
        let sql = concat!("SELECT ", file_columns!(), " FROM files WHERE expires_us <= $1 LIMIT 1000");
        Ok(self.read_unscoped(system, Scan(sql), values![now]).await?.read_all(read_file)?)
    }

    /// Deletes the row of a file whose bytes are deleted.
    pub async fn delete_file(&self, _: &System, file: &StoredFile) -> Result<()> {
        let sql = "DELETE FROM files WHERE organization = $1 AND id = $2";
        let statement = any_rows(sql, values![file.organization, file.id]);
        Ok(self.database.apply(batch([file.organization], vec![statement])).await?)
    }
}

fn read_file(columns: &mut Columns) -> Result<StoredFile, DatabaseError> {
    Ok(StoredFile {
        organization: OrganizationId(columns.id()?),
        id: FileId(columns.id()?),
        principal: PrincipalId(columns.id()?),
        kind: columns.word(FileKind::parse)?,
        name: columns.text()?,
        size: columns.count()?,
        complete: columns.text()? == "complete",
        expires: columns.time()?,
    })
}
