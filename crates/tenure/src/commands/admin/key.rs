//! `tenure admin key …`: API keys.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use domain::Refusal;
use domain::credential::{Credential, Wire};
use domain::ids::CredentialId;
use domain::network::{Network, Networks};
use domain::refusal::Thing;
use domain::time::Span;
use serde::Serialize;
use server::failure::Failure;
use server::operations::access::issued_keys;
use server::operations::access::own_keys::CreatedKey;
use server::operations::access::service_users::KeyTerms;
use uuid::Uuid;

use crate::administration::{Administration, format_minute, format_time, now};
use crate::commands::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::Column;
use crate::values::{OrgRef, parse_duration, parse_email, parse_name, parse_network, wire_parser};

/// Commands about API keys.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tenure admin key create --user ana@example.com --wire mobilenext --name laptop --expires 90d
  tenure admin key create --service-user ID --wire tenure --json
  tenure admin key list --user ana@example.com
  tenure admin key revoke ID

The wire sets the key's prefix (mobilenext mob_, everruns evr_, devin cog_, probe prb_, tenure tnr_), for people to
recognize it. Any key works on every wire, with the permissions of its owner.")]
pub enum KeyCommand {
    /// Create a key; its secret is shown only this once
    Create(CreateKeyArgs),
    /// List keys, without their secrets
    List(ListKeysArgs),
    /// Revoke a key for ever, and the keys that were made with it
    Revoke {
        /// Its id, from `tenure admin key list`
        #[arg(value_name = "ID")]
        id: Uuid,
    },
}

/// Arguments of `tenure admin key create`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("principal").required(true).args(["user", "service_user"]))]
pub struct CreateKeyArgs {
    /// The person who will use it
    #[arg(long, value_name = "EMAIL", value_parser = parse_email)]
    pub user: Option<String>,
    /// The service user that will use it
    #[arg(long, value_name = "ID")]
    pub service_user: Option<Uuid>,
    /// The only organization it works in [default: all of its owner]
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// Whose clients will use it; sets the prefix
    #[arg(long, value_name = "WIRE", value_parser = wire_parser())]
    pub wire: Wire,
    /// What it is for, in your own words
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub name: Option<String>,
    /// How long it works, such as 90d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub expires: Option<Duration>,
    /// A network that it can be used from, such as 192.0.2.0/24; repeat for more [default: everywhere]
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    pub network: Vec<Network>,
}

/// Arguments of `tenure admin key list`.
#[derive(Debug, Args)]
pub struct ListKeysArgs {
    /// Only keys of this organization
    #[arg(long, value_name = "ORG")]
    pub org: Option<OrgRef>,
    /// Only keys of this person
    #[arg(long, value_name = "EMAIL", value_parser = parse_email, conflicts_with = "service_user")]
    pub user: Option<String>,
    /// Only keys of this service user
    #[arg(long, value_name = "ID")]
    pub service_user: Option<Uuid>,
}

/// A key, as printed. The secret is present only when the key was just created.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyRow {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    suffix: String,
    wire: &'static str,
    name: String,
    principal: Uuid,
    organization: Option<Uuid>,
    created_at: String,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    made_by: Option<Uuid>,
    networks: Vec<String>,
    #[serde(skip)]
    owner: String,
}

impl KeyRow {
    fn new(key: Credential, owner: String, secret: Option<String>) -> Self {
        Self {
            id: key.id.0,
            secret,
            suffix: key.suffix,
            wire: key.wire.name(),
            name: key.name,
            principal: key.principal.0,
            organization: key.organization.map(|organization| organization.0),
            created_at: format_time(key.created),
            last_used_at: key.last_used.map(format_time),
            expires_at: key.expires.map(format_time),
            revoked_at: key.revoked.map(format_time),
            made_by: key.made_by.map(|maker| maker.0),
            networks: key.networks.0.iter().map(Network::to_string).collect(),
            owner,
        }
    }
}

/// Runs one of them.
///
/// # Errors
/// The database refuses the change, or the owner, organization or key does not exist.
pub async fn run(context: &Context, command: KeyCommand) -> CommandResult<()> {
    let admin = context.administration().await?;
    match command {
        KeyCommand::Create(arguments) => run_create(context, &admin, arguments).await?,
        KeyCommand::List(arguments) => run_list(context, &admin, arguments).await?,
        KeyCommand::Revoke { id } => {
            admin
                .store
                .revoke_credential(&admin.system, CredentialId(id), now())
                .await
                .map_err(|error| CommandError::from(error).hint("`tenure admin key list` shows them all"))?;
            context.printer.print(
                &format!("Revoked key {id}, and the keys that were made with it."),
                &serde_json::json!({ "id": id }),
            )?;
        }
    }
    admin.close().await;
    Ok(())
}

async fn run_create(
    context: &Context,
    admin: &Administration,
    arguments: CreateKeyArgs,
) -> CommandResult<()> {
    let owner = match (&arguments.user, arguments.service_user) {
        (Some(email), _) => admin.find_user(email).await?,
        (None, Some(id)) => admin.find_service_user(id).await?,
        (None, None) => return Err(CommandError::new("expected --user or --service-user")),
    };
    let organization = match &arguments.org {
        Some(org) => Some(admin.find_organization(org).await?),
        None => None,
    };
    let terms = KeyTerms {
        organization: organization.as_ref().map(|organization| organization.id),
        networks: Networks(arguments.network),
        ..KeyTerms::new(
            arguments.name.as_deref().unwrap_or_default(),
            arguments.wire,
            arguments.expires.map(|after| now() + Span::from(after)),
        )
    };
    let new = issued_keys::issue_key(admin, &admin.system, &owner, &terms).await;
    let CreatedKey { credential: key, secret } = new.map_err(|failure| match (failure, organization) {
        (Failure::Refused(Refusal::NotFound(Thing::Member)), Some(organization)) => {
            CommandError::new(format!("{} is not a member of {}", owner.name, organization.name))
                .hint("`tenure admin member add` adds them")
        }
        (other, _) => other.into(),
    })?;
    let secret = secret.map(|secret| secret.reveal().to_owned()).unwrap_or_default();
    let sentence =
        format!("Created key {} for {}. Its secret is shown only this once:\n{secret}", key.id, owner.name);
    context.printer.print(&sentence, &KeyRow::new(key, owner.name, Some(secret)))
}

async fn run_list(context: &Context, admin: &Administration, arguments: ListKeysArgs) -> CommandResult<()> {
    let organization = match &arguments.org {
        Some(org) => Some(admin.find_organization(org).await?.id),
        None => None,
    };
    let owner = match (&arguments.user, arguments.service_user) {
        (Some(email), _) => Some(admin.find_user(email).await?.id),
        (None, Some(id)) => Some(admin.find_service_user(id).await?.id),
        (None, None) => None,
    };
    let principals = admin.store.list_principals(&admin.system).await?;
    let keys = admin.store.list_credentials(&admin.system).await?.into_iter().filter(|key| {
        owner.is_none_or(|owner| key.principal == owner)
            && organization.is_none_or(|organization| key.organization == Some(organization))
    });
    let named = keys.map(|key| {
        let owner = principals.iter().find(|known| known.id == key.principal);
        let owner = owner.map_or_else(|| "?".to_owned(), |known| known.name.clone());
        KeyRow::new(key, owner, None)
    });
    let rows: Vec<KeyRow> = named.collect();
    let columns: [Column<KeyRow>; 8] = [
        Column::new("id", |row| row.id.to_string()),
        Column::new("key", |row| format!("…{}", row.suffix)),
        Column::new("wire", |row| row.wire.to_owned()),
        Column::new("name", |row| row.name.clone()),
        Column::new("owner", |row| row.owner.clone()),
        Column::new("last used", |row| format_minute(row.last_used_at.as_ref())),
        Column::new("expires", |row| format_minute(row.expires_at.as_ref())),
        Column::new("revoked", |row| format_minute(row.revoked_at.as_ref())),
    ];
    context.printer.print_list(&rows, &columns, "There are no keys. `tenure admin key create` creates one.")
}
