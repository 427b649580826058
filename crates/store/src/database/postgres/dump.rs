//! `pg_dump`, and a script for `psql` that restores in one transaction.

use super::connection::{PostgresAddress, to_database_error};
use crate::database::dump::Dump;
use crate::database::location::{PostgresUrl, Protection};
use crate::database::migrate::{self, MIGRATIONS};
use crate::database::{DatabaseError, Statement, Value};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;
use tokio_postgres::config::Host;

/// Drops the tables and functions of the schema, as the migrations create them.
const EMPTY: &str = "
DO $$ DECLARE made record; BEGIN
    FOR made IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') LOOP
        EXECUTE 'DROP TABLE IF EXISTS ' || made.name || ' CASCADE';
    END LOOP;
    FOR made IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                WHERE p.pronamespace = current_schema()::regnamespace
                  AND p.proname::text ~ '^(audit|changes|access|agent_texts)_' LOOP
        EXECUTE 'DROP FUNCTION ' || made.name || ' CASCADE';
    END LOOP;
END $$;
";
const TABLES: &str = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')";
const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";

/// How often, and at what interval, to check whether another process has the database open.
const LOOKS: u32 = 20;
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Dumps a database. Returns the version and the name of its schema.
pub(in crate::database) async fn dump(
    url: &PostgresUrl,
    protection: Protection,
    into: &Path,
) -> Result<(i64, String), DatabaseError> {
    let address = PostgresAddress::new(url, protection)?;
    let client = address.client().await?;
    let query = "SELECT COALESCE(MAX(version), 0)::bigint, COALESCE(current_schema()::text, 'public') FROM schema_migrations";
    let row = client.query_one(query, &[]).await.map_err(|_| {
        DatabaseError::Schema("the database holds no data of tenure: there is nothing to back up".into())
    })?;
    let file =
        std::fs::OpenOptions::new().write(true).open(into).map_err(|error| file_error("write", &error))?;
    let mut dumping = program("pg_dump", &address, protection);
    dumping.args(["-Fc", "--no-owner", "--no-privileges"]).stdout(file);
    run_program("pg_dump", dumping).await?;
    Ok((row.get(0), row.get(1)))
}

/// Whether there are tables.
pub(in crate::database) async fn has_tables(
    url: &PostgresUrl,
    protection: Protection,
) -> Result<bool, DatabaseError> {
    let client = PostgresAddress::new(url, protection)?.client().await?;
    let row = client.query_one(TABLES, &[]).await.map_err(|error| to_database_error(&error))?;
    Ok(row.get::<_, i64>(0) > 0)
}

/// Restores in one transaction: the dump, missing migrations, and the statements that follow.
pub(in crate::database) async fn restore(
    url: &PostgresUrl,
    protection: Protection,
    dump: &Dump,
    file: &Path,
    after: &[Statement],
    now_us: i64,
) -> Result<(), DatabaseError> {
    let address = PostgresAddress::new(url, protection)?;
    let client = address.client().await?;
    require_unused(&client).await?;
    drop(client);
    let script = file.with_extension("sql");
    let written = write_script(&address, protection, dump, file, &script, after, now_us).await;
    let outcome = match written {
        Ok(()) => {
            let mut loading = program("psql", &address, protection);
            loading
                .args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f"])
                .arg(&script)
                .stdout(Stdio::null());
            run_program("psql", loading).await
        }
        Err(error) => Err(error),
    };
    // The script contains the hashes of all credentials.
    let _ = std::fs::remove_file(&script);
    outcome
}

/// Refuses a database that other connections use, after a moment for those that are about to close.
async fn require_unused(client: &tokio_postgres::Client) -> Result<(), DatabaseError> {
    let mut others: i64 = 0;
    for _ in 0..LOOKS {
        others = client.query_one(OTHERS, &[]).await.map_err(|error| to_database_error(&error))?.get(0);
        if others == 0 {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    let text = format!("the database is in use by {others} other connections: stop the servers first");
    Err(DatabaseError::Failed(text))
}

async fn write_script(
    address: &PostgresAddress,
    protection: Protection,
    dump: &Dump,
    file: &Path,
    script: &Path,
    after: &[Statement],
    now_us: i64,
) -> Result<(), DatabaseError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(script)
        .map_err(|error| file_error("write", &error))?;
    out.write_all(EMPTY.as_bytes()).map_err(|error| file_error("write", &error))?;
    let mut reading = program("pg_restore", address, protection);
    let end = out.try_clone().map_err(|error| file_error("write", &error))?;
    reading.args(["--no-owner", "--no-privileges", "-f", "-"]).arg(file).stdout(end);
    run_program("pg_restore", reading).await?;
    let mut text =
        format!("\nSELECT pg_catalog.set_config('search_path', {}, false);\n", quote_text(&dump.place));
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > dump.schema) {
        let (version, name) = (migration.version, migration.name);
        let checksum = migrate::checksum(migration.postgres);
        let _ = write!(
            text,
            "{}\n;INSERT INTO schema_migrations (version, name, checksum, applied_us)
             VALUES ({version}, '{name}', '{checksum}', {now_us});\n",
            migration.postgres
        );
    }
    for statement in after {
        let _ = writeln!(text, "{};", inline_values(statement));
    }
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(|error| file_error("write", &error))
}

/// A statement with its values in the text, for a program that takes no values.
fn inline_values(statement: &Statement) -> String {
    let mut text = statement.sql.to_owned();
    // The largest number first, or `$1` would be found in `$10`.
    for (number, value) in statement.values.iter().enumerate().rev() {
        text = text.replace(&format!("${}", number + 1), &literal(value));
    }
    text
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => format!("({number})"),
        Value::Text(text) => quote_text(text),
        Value::Id(id) => format!("'{id}'::uuid"),
        Value::Bytes(bytes) => {
            let hex = bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            format!("'\\x{hex}'::bytea")
        }
    }
}

fn quote_text(text: &str) -> String {
    // A dollar sign must not be taken for another placeholder, so it is written as its code.
    let escaped = text.replace('\\', "\\\\").replace('\'', "''").replace('$', "\\044");
    format!("E'{escaped}'")
}

/// One of PostgreSQL's programs, for this database.
fn program(name: &str, address: &PostgresAddress, protection: Protection) -> Command {
    let config = &address.config;
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let ports = config.get_ports().iter().map(u16::to_string).collect::<Vec<_>>();
    command.env("PGHOST", hosts.collect::<Vec<_>>().join(",")).env("PGCLIENTENCODING", "UTF8");
    if !ports.is_empty() {
        command.env("PGPORT", ports.join(","));
    }
    if let Some(user) = config.get_user() {
        command.env("PGUSER", user);
    }
    if let Some(password) = config.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).into_owned());
    }
    if let Some(name) = config.get_dbname().or(config.get_user()) {
        command.env("PGDATABASE", name);
    }
    command.env(
        "PGSSLMODE",
        match protection {
            Protection::Disable => "disable",
            Protection::Prefer => "prefer",
            Protection::Require => "require",
            Protection::VerifyFull => "verify-full",
        },
    );
    command
}

async fn run_program(name: &str, mut command: Command) -> Result<(), DatabaseError> {
    let running = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => DatabaseError::Failed(format!(
            "the program {name} is not installed: install PostgreSQL's client programs (postgresql-client), of the \
             server's version or a later one"
        )),
        _ => file_error("start", &error),
    })?;
    let output = running.wait_with_output().await.map_err(|error| file_error("wait for", &error))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // Notices may come before the line with the error; lines after it may quote rows.
    let error_line = stderr.lines().find(|line| line.contains("ERROR:") || line.contains("error:"));
    let message = error_line.or(stderr.lines().next()).unwrap_or_default();
    Err(DatabaseError::Failed(format!("{name} failed: {message}")))
}

fn file_error(action: &str, error: &std::io::Error) -> DatabaseError {
    DatabaseError::Failed(format!("cannot {action} the dump: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spelled_out() {
        let statement =
            |values: Vec<Value>| Statement { sql: "SELECT $1, $2, $10", values, exactly_one: false };
        let mut values = vec![Value::Null; 10];
        values[0] = Value::Text("it's $10 \\ $2".into());
        values[1] = Value::Bytes(vec![0, 255]);
        values[9] = Value::Int(-7);
        assert_eq!(
            inline_values(&statement(values)),
            "SELECT E'it''s \\04410 \\\\ \\0442', '\\x00ff'::bytea, (-7)"
        );
    }
}
