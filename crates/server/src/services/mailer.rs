//! Sends mail through a mail server, or writes it into a folder for development.

use crate::settings::MailRoute;
use domain::Refusal;
use domain::principal::normalize_email;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Sends mail.
pub struct Mailer {
    from: String,
    route: MailTransport,
}

enum MailTransport {
    Outbox(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

/// The normal form of an address, if mail can be sent to it.
///
/// # Errors
/// [`Refusal::Invalid`] for the field `email`.
pub fn parse_address(text: &str) -> Result<String, Refusal> {
    let email = normalize_email(text).filter(|email| email.parse::<lettre::Address>().is_ok());
    email.ok_or_else(|| Refusal::invalid("email", "an e-mail address"))
}

impl Mailer {
    /// A mailer as the settings say. It connects when it first sends.
    ///
    /// # Errors
    /// The mail server's URL cannot be used. The text does not contain the URL.
    pub fn new(route: &MailRoute, from: &str) -> Result<Mailer, String> {
        let route = match route {
            MailRoute::Outbox(folder) => MailTransport::Outbox(folder.clone()),
            MailRoute::Smtp(url) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal());
                MailTransport::Smtp(transport.map_err(|error| error.to_string())?.build())
            }
        };
        Ok(Mailer { from: from.to_owned(), route })
    }

    /// Sends plain text to one address. `name` is the name of its file in an outbox; it contains no secret.
    ///
    /// # Errors
    /// Why it was not sent. It is for the log alone: a caller could learn from it who has an account.
    pub async fn send(&self, name: &str, to: &str, subject: &str, text: String) -> Result<(), String> {
        let message = Message::builder()
            .from(self.from.parse().map_err(|_| "the sender is no address".to_owned())?)
            .to(to.parse().map_err(|_| "the recipient is no address".to_owned())?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| error.to_string())?;
        match &self.route {
            MailTransport::Outbox(folder) => {
                write(folder, name, &message.formatted()).await.map_err(|error| error.to_string())
            }
            MailTransport::Smtp(transport) => {
                transport.send(message).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

async fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    crate::private_files::make_folder(folder)?;
    let (making, path) = (folder.join(format!("{name}.making")), folder.join(format!("{name}.eml")));
    // A mail can open an account, so only the folder's owner can read it.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
    let mut file = tokio::fs::File::from_std(file);
    file.write_all(bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(making, path).await
}
