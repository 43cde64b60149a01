//! A webhook: the notice as a document, signed so that its receiver knows who sent it and when.

use std::fmt::Write;

use aws_lc_rs::hmac;
use bytes::Bytes;
use felhom_engine::Timestamp;
use http::Method;
use secrecy::{ExposeSecret, SecretString};

use super::error::SendError;
use super::http::{Letter, header, send as post};
use super::message::Message;
use super::reach::Patience;
use super::url::WebUrl;
use crate::config::ChannelConfig;
use crate::credentials::read_secret;

pub(super) async fn send(
    channel: &ChannelConfig,
    url: &WebUrl,
    message: &Message,
    now: Timestamp,
    patience: Patience,
) -> Result<(), SendError> {
    // The configuration asks for it.
    let path = channel.secret_file.as_deref();
    let path = path.ok_or_else(|| SendError::unsent("there is no secret to sign with"))?;
    let secret = read_secret(path).map_err(|error| SendError::secret(&error))?;
    let body = felhom_protocol::write(&message.notice);
    let letter = Letter {
        method: Method::POST,
        headers: vec![
            ("content-type", header("application/json")?),
            ("idempotency-key", header(&message.notice.id)?),
            ("x-felhom-notice", header(&message.notice.id)?),
            (
                "x-felhom-signature",
                header(&signature(&secret, now.secs(), &body))?,
            ),
        ],
        body: Bytes::from(body),
    };
    post(url, channel.ca_file.as_deref(), letter, patience).await
}

/// HMAC-SHA256 over time, a dot and the body: neither can be changed, and an old one is known by its time.
fn signature(secret: &SecretString, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let mut text = format!("t={seconds},v1=");
    for byte in tag.as_ref() {
        // Writing to a string does not fail.
        if write!(text, "{byte:02x}").is_err() {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_others_compute() {
        // printf '1795392000.{"a":1}' | openssl dgst -sha256 -hmac key
        let text = signature(&SecretString::from("key"), 1_795_392_000, "{\"a\":1}");
        assert_eq!(
            text,
            "t=1795392000,v1=5eb443aa77b2efd047fe0d7579c36bf8e46aa1ddf7ac48a01e0757391a1017df"
        );
    }
}
