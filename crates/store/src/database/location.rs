//! Parses the URL of a database. No error repeats a password.

use super::DatabaseError;
use std::path::PathBuf;

/// How a connection to PostgreSQL is encrypted; `sslmode` in the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// `disable`: never encrypted.
    Disable,
    /// `prefer`, the default: encrypted if the server supports it. It does not protect against an attacker who can
    /// change traffic.
    Prefer,
    /// `require`: always encrypted, without a check of the certificate. It protects against eavesdropping only.
    Require,
    /// `verify-full`: always encrypted. The certificate must be for the host in the URL, and be signed by an
    /// authority that this machine trusts (or that `SSL_CERT_FILE` names).
    VerifyFull,
}

/// A parsed database URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://…`: the URL without `sslmode`, which contains the password, and the mode.
    Postgres(PostgresUrl, Protection),
}

/// A URL that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PostgresUrl(pub(super) String);

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(not shown)")
    }
}

/// Parses a URL.
///
/// # Errors
/// [`DatabaseError::Failed`] with a description of a valid URL. It repeats nothing of this one.
pub(super) fn parse(url: &str) -> Result<Location, DatabaseError> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return parse_sqlite(path);
    }
    match url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
        Some(rest) => parse_postgres(rest),
        None => Err(DatabaseError::Failed(
            "the database URL must begin with sqlite: (sqlite:/var/lib/tenure/tenure.db) or postgres:// \
             (postgres://user:password@host:5432/database)"
                .into(),
        )),
    }
}

fn parse_sqlite(path: &str) -> Result<Location, DatabaseError> {
    let path = match path.strip_prefix("//") {
        // Several other programs write an absolute path as sqlite:///PATH; sqlite://relative has no meaning.
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return Err(path_error("write sqlite:PATH, or sqlite:///PATH for an absolute path")),
        None => path,
    };
    if path.is_empty() {
        return Err(path_error("a path must follow, as in sqlite:/var/lib/tenure/tenure.db"));
    }
    if path == ":memory:" || path.starts_with("file:") {
        return Err(path_error("a database in memory is not supported: several connections share the file"));
    }
    Ok(Location::Sqlite(PathBuf::from(path)))
}

fn path_error(why: &str) -> DatabaseError {
    DatabaseError::Failed(format!("the sqlite: URL is malformed: {why}"))
}

fn parse_postgres(rest: &str) -> Result<Location, DatabaseError> {
    check_credentials(rest)?;
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut protection = Protection::Prefer;
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => protection = parse_protection(mode)?,
            _ => parameters.push(pair),
        }
    }
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    Ok(Location::Postgres(PostgresUrl(format!("postgres://{address}{query}")), protection))
}

/// A password with a raw `@` or `/` would be parsed as part of the host and be shown in errors.
fn check_credentials(rest: &str) -> Result<(), DatabaseError> {
    let mut parts = rest.split('@');
    let credentials = parts.next().unwrap_or_default();
    let hosts = parts.count();
    if hosts > 1 || (hosts == 1 && credentials.contains(['/', '?', '#'])) {
        return Err(postgres_url_error());
    }
    Ok(())
}

fn parse_protection(mode: &str) -> Result<Protection, DatabaseError> {
    match mode {
        "disable" => Ok(Protection::Disable),
        "prefer" => Ok(Protection::Prefer),
        "require" => Ok(Protection::Require),
        "verify-full" => Ok(Protection::VerifyFull),
        _ => Err(DatabaseError::Failed(
            "sslmode in the database URL must be disable, prefer, require or verify-full".into(),
        )),
    }
}

/// The error for a malformed URL. It repeats nothing of the URL, because any part may be a password.
pub(super) fn postgres_url_error() -> DatabaseError {
    DatabaseError::Failed(
        "the PostgreSQL URL is malformed: write postgres://user:password@host:5432/database?sslmode=verify-full, \
         with %40, %3A, %2F, %3F, %23 and %25 for the characters @ : / ? # and % in a password"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(parse("sqlite:a/b.db").unwrap(), Location::Sqlite("a/b.db".into()));
        assert_eq!(parse("sqlite:/a/b.db").unwrap(), Location::Sqlite("/a/b.db".into()));
        assert_eq!(parse("sqlite:///a/b.db").unwrap(), Location::Sqlite("/a/b.db".into()));
        for bad in ["sqlite:", "sqlite://a", "sqlite::memory:", "sqlite:file:x", "mysql://h/d", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mode_is_taken_out_of_the_url() {
        let parsed = parse("postgresql://u:p@h/d?connect_timeout=3&sslmode=verify-full&application_name=x");
        let expected = "postgres://u:p@h/d?connect_timeout=3&application_name=x";
        assert_eq!(parsed.unwrap(), Location::Postgres(PostgresUrl(expected.into()), Protection::VerifyFull));
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgres://u:hush@me@h/d", "postgres://u:hush/x@h/d", "postgres://h/d?password=hush@x"] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains("malformed") && !error.contains("hush"), "{error}");
        }
        let good = parse("postgres://u:hush@h/d?sslmode=require").unwrap();
        assert!(!format!("{good:?}").contains("hush"));
    }
}
