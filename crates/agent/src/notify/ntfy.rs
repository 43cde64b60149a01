//! ntfy: a message for a telephone, published as JSON so that any letter may be in it.

use bytes::Bytes;
use felhom_protocol::host::Severity;
use felhom_protocol::notice::Event;
use http::Method;
use secrecy::ExposeSecret;
use serde_json::json;

use super::error::SendError;
use super::http::{Letter, header, secret_header, send as post};
use super::message::Message;
use super::reach::Patience;
use super::url::WebUrl;
use crate::config::ChannelConfig;
use crate::credentials::read_secret;

/// ntfy's priorities go from 1 to 5, of which 3 is the usual one, and its tags that name an emoji are shown as that.
fn urgency(message: &Message) -> (u8, &'static str) {
    match (message.notice.event, message.notice.severity) {
        (Event::Resolved, _) => (2, "white_check_mark"),
        (Event::Test, _) => (3, "bell"),
        (_, Severity::Critical) => (5, "rotating_light"),
        (_, Severity::Warning) => (4, "warning"),
        (_, Severity::Notice) => (3, "information_source"),
    }
}

pub(super) async fn send(
    channel: &ChannelConfig,
    url: &WebUrl,
    topic: &str,
    message: &Message,
    patience: Patience,
) -> Result<(), SendError> {
    let (priority, tag) = urgency(message);
    let body = json!({
        "topic": topic,
        "title": message.title(),
        "message": message.body(),
        "priority": priority,
        "tags": [tag, message.notice.code],
    });
    let mut headers = vec![
        ("content-type", header("application/json")?),
        ("x-felhom-notice", header(&message.notice.id)?),
    ];
    if let Some(path) = &channel.secret_file {
        let token = read_secret(path).map_err(|error| SendError::secret(&error))?;
        let bearer = format!("Bearer {}", token.expose_secret());
        headers.push(("authorization", secret_header(&bearer)?));
    }
    let letter = Letter {
        method: Method::POST,
        headers,
        body: Bytes::from(body.to_string()),
    };
    post(url, channel.ca_file.as_deref(), letter, patience).await
}
