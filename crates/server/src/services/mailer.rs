//! Mail: by a mail server, or into a folder for those who develop.

use crate::settings::MailRoute;
use domain::Refusal;
use domain::principal::normal_email;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Sends mail.
pub struct Mailer {
    from: String,
    route: Route,
}

enum Route {
    Outbox(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

/// The one form of an address that mail can be sent to.
///
/// # Errors
/// [`Refusal::Invalid`] for the field `email`.
pub fn address(text: &str) -> Result<String, Refusal> {
    let email = normal_email(text).filter(|email| email.parse::<lettre::Address>().is_ok());
    email.ok_or_else(|| Refusal::invalid("email", "an e-mail address"))
}

impl Mailer {
    /// As the settings say. Nothing is connected yet.
    ///
    /// # Errors
    /// When the mail server's URL cannot be used; the text does not hold the URL.
    pub fn new(route: &MailRoute, from: &str) -> Result<Mailer, String> {
        let route = match route {
            MailRoute::Outbox(folder) => Route::Outbox(folder.clone()),
            MailRoute::Smtp(url) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal());
                Route::Smtp(transport.map_err(|error| error.to_string())?.build())
            }
        };
        Ok(Mailer { from: from.to_owned(), route })
    }

    /// Sends plain text to one address. `name` is what its file is called in an outbox; it holds no secret.
    ///
    /// # Errors
    /// Why it was not sent, for the log: nobody is told, or it would be known who has an address here.
    pub async fn send(&self, name: &str, to: &str, subject: &str, text: String) -> Result<(), String> {
        let message = Message::builder()
            .from(self.from.parse().map_err(|_| "the sender is no address".to_owned())?)
            .to(to.parse().map_err(|_| "the recipient is no address".to_owned())?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| error.to_string())?;
        match &self.route {
            Route::Outbox(folder) => {
                write(folder, name, &message.formatted()).await.map_err(|error| error.to_string())
            }
            Route::Smtp(transport) => {
                transport.send(message).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

async fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    crate::private_files::make_folder(folder)?;
    let (making, path) = (folder.join(format!("{name}.making")), folder.join(format!("{name}.eml")));
    // What is sent opens an account: for the owner of the folder only.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making)?;
    let mut file = tokio::fs::File::from_std(file);
    file.write_all(bytes).await?;
    file.sync_all().await?;
    tokio::fs::rename(making, path).await
}
