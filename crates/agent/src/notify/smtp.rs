//! A mail, handed to a mail server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret;

use super::error::SendError;
use super::message::Message;
use super::reach::{self, Patience};
use super::trust;
use crate::config::{ChannelConfig, ChannelKind, SmtpTls};
use crate::credentials::read_secret;

/// A server that took the mail need not be waited for any longer.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a mail server is spoken to.
struct Manner {
    /// TLS from the beginning.
    wrapped: Option<TlsParameters>,
    /// TLS before anything is said.
    upgraded: Option<TlsParameters>,
    credentials: Option<Credentials>,
}

/// Whether this is a mail address, with a name in front or without.
pub(crate) fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

pub(super) async fn send(
    channel: &ChannelConfig,
    message: &Message,
    patience: Patience,
) -> Result<(), SendError> {
    let ChannelKind::Smtp {
        server,
        port,
        tls,
        from,
        to,
        user,
    } = &channel.kind
    else {
        return Err(SendError::unsent("this is no mail channel"));
    };
    let place = format!("{server}:{port}");
    let mail = mail(from, to, message)?;
    let mut manner = Manner::of(*tls, server, channel.ca_file.as_deref())?;
    if let (Some(user), Some(path)) = (user, &channel.secret_file) {
        let password = read_secret(path).map_err(|error| SendError::secret(&error))?;
        let password = password.expose_secret().to_owned();
        manner.credentials = Some(Credentials::new(user.clone(), password));
    }
    let reaching = async {
        let addresses = reach::addresses(server, *port, &place).await?;
        connect(&addresses, manner, patience.share(), &place).await
    };
    let mut connection = patience.before(&place, reaching).await?;
    let letter = mail.formatted();
    let sending = async {
        let sent = connection.send(mail.envelope(), &letter).await;
        sent.map_err(|error| failure(&place, &error, true))
    };
    patience.after(&place, sending).await?;
    // It is taken: however the server says goodbye, that stands.
    drop(tokio::time::timeout(GOODBYE, connection.abort()).await);
    Ok(())
}

/// A connection on which a mail may be sent, to the first of these addresses that takes one within its share.
async fn connect(
    addresses: &[SocketAddr],
    manner: Manner,
    share: Duration,
    place: &str,
) -> Result<AsyncSmtpConnection, SendError> {
    let unsent = |error| failure(place, &error, false);
    let name = ClientId::default();
    let wrapped = manner.wrapped;
    let connecting =
        AsyncSmtpConnection::connect_tokio1(addresses, Some(share), &name, wrapped, None);
    let mut connection = connecting.await.map_err(unsent)?;
    if let Some(parameters) = manner.upgraded {
        let upgrading = connection.starttls(parameters, &name);
        upgrading.await.map_err(unsent)?;
    }
    if let Some(credentials) = &manner.credentials {
        let proving = connection.auth(DEFAULT_MECHANISMS, credentials);
        proving.await.map_err(unsent)?;
    }
    Ok(connection)
}

fn mail(from: &str, to: &[String], message: &Message) -> Result<lettre::Message, SendError> {
    let unusable = |error: &dyn std::fmt::Display| {
        SendError::unsent(format!("the mail cannot be written: {error}")).of_the_message()
    };
    let sender: Mailbox = from.parse().map_err(|error| unusable(&error))?;
    let domain = sender.email.domain().to_owned();
    let name = |id: &str| format!("<{id}@{domain}>");
    let plain = |name: &'static str, value: &str| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
    };
    let mut mail: MessageBuilder = lettre::Message::builder()
        .from(sender)
        .subject(message.title())
        .message_id(Some(name(&message.notice.id)))
        .raw_header(plain("Auto-Submitted", "auto-generated"))
        .raw_header(plain("X-Felhom-Notice", &message.notice.id))
        .header(ContentType::TEXT_PLAIN);
    for to in to {
        mail = mail.to(to.parse().map_err(|error| unusable(&error))?);
    }
    if let Some(first) = &message.thread {
        mail = mail.in_reply_to(name(first)).references(name(first));
    }
    mail.body(message.body() + "\n")
        .map_err(|error| unusable(&error))
}

impl Manner {
    fn of(tls: SmtpTls, server: &str, ca_file: Option<&Path>) -> Result<Self, SendError> {
        let parameters = match tls {
            SmtpTls::None => None,
            SmtpTls::Tls | SmtpTls::Starttls => Some(parameters(server, ca_file)?),
        };
        let (wrapped, upgraded) = match tls {
            SmtpTls::Tls => (parameters, None),
            SmtpTls::Starttls | SmtpTls::None => (None, parameters),
        };
        Ok(Self {
            wrapped,
            upgraded,
            credentials: None,
        })
    }
}

fn parameters(server: &str, ca_file: Option<&Path>) -> Result<TlsParameters, SendError> {
    let unusable = |error: lettre::transport::smtp::Error| {
        SendError::unsent(format!("TLS cannot be set up: {error}"))
    };
    let mut parameters = TlsParameters::builder(server.to_owned());
    if let Some(path) = ca_file {
        let authority = Certificate::from_pem(&trust::read(path)?).map_err(unusable)?;
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(authority);
    }
    parameters.build().map_err(unusable)
}

/// What the server says of the mail is not repeated: it may quote what was sent to it.
fn failure(place: &str, error: &lettre::transport::smtp::Error, left: bool) -> SendError {
    if let Some(code) = error.status() {
        let number = code.to_string();
        let refused = SendError::unsent(format!("{place} answered {number}"));
        return match number.as_str() {
            "530" | "534" | "535" | "538" => refused.because("user and password are not accepted"),
            _ if error.is_permanent() => refused.of_the_message(),
            _ => refused,
        };
    }
    let mut text = format!("{place}: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if left && !error.is_client() {
        SendError::unsure(text)
    } else {
        SendError::unsent(text)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::super::reach::tests::Dead;
    use super::*;

    #[tokio::test]
    async fn a_mail_server_with_a_dead_address_is_reached_at_the_next_one() {
        let dead = Dead::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail.test ESMTP\r\n").await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap() > 0 {
                stream.write_all(b"250 fine\r\n").await.unwrap();
            }
        });
        let share = Duration::from_millis(100);
        let manner = || Manner::of(SmtpTls::None, "mail.test", None).unwrap();
        let both = [dead.address, alive];
        let connection = connect(&both, manner(), share, "mail.test:25").await;
        assert!(connection.is_ok());
        let error = connect(&[dead.address], manner(), share, "mail.test:25").await;
        let error = error.err().unwrap();
        assert!(!error.unsure, "{error}");
    }
}
