//! A mail, handed to a mail server.

use std::path::Path;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

use super::error::SendError;
use super::message::Message;
use super::trust;
use crate::config::{ChannelConfig, ChannelKind, SmtpTls};
use crate::credentials::read_secret;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Whether this is a mail address, with a name in front or without.
pub(crate) fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

pub(super) async fn send(
    channel: &ChannelConfig,
    message: &Message,
    deadline: Duration,
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
    let mut transport = Transport::builder_dangerous(server.as_str())
        .port(*port)
        .tls(protection(*tls, server, channel.ca_file.as_deref())?)
        .timeout(Some(deadline));
    if let (Some(user), Some(path)) = (user, &channel.secret_file) {
        let password = read_secret(path).map_err(|error| SendError::secret(&error))?;
        let password = password.expose_secret().to_owned();
        transport = transport.credentials(Credentials::new(user.clone(), password));
    }
    match transport.build().send(mail).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failure(&place, &error)),
    }
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

fn protection(tls: SmtpTls, server: &str, ca_file: Option<&Path>) -> Result<Tls, SendError> {
    if tls == SmtpTls::None {
        return Ok(Tls::None);
    }
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
    let parameters = parameters.build().map_err(unusable)?;
    Ok(match tls {
        SmtpTls::Tls => Tls::Wrapper(parameters),
        SmtpTls::Starttls | SmtpTls::None => Tls::Required(parameters),
    })
}

/// What the server says of the mail is not repeated: it may quote what was sent to it.
fn failure(place: &str, error: &lettre::transport::smtp::Error) -> SendError {
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
    let refused = text.contains("onnection refused");
    if error.is_tls() || refused || error.is_client() {
        SendError::unsent(text)
    } else {
        SendError::unsure(text)
    }
}
