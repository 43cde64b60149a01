//! `[[notify.channels]]`: one way to reach a person.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::super::problems::Problems;
use super::super::raw::RawChannel;
use super::SecretPlace;
use crate::notify::WebUrl;

/// A way to reach a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelConfig {
    /// Its name. What was told is remembered by it.
    pub name: String,
    /// How it is reached.
    #[serde(flatten)]
    pub kind: ChannelKind,
    /// The file that holds its secret: a token, the key of a signature, a password.
    pub secret_file: Option<PathBuf>,
    /// Whom to trust there instead of the system's certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ChannelKind {
    /// A topic of an ntfy server.
    Ntfy {
        /// The server.
        url: WebUrl,
        /// The topic.
        topic: String,
    },
    /// A signed JSON document.
    Webhook {
        /// Where it is sent.
        url: WebUrl,
    },
    /// A mail.
    Smtp {
        /// The mail server.
        server: String,
        /// Its port.
        port: u16,
        /// How the connection is kept secret.
        tls: SmtpTls,
        /// The sender.
        from: String,
        /// Who gets it.
        to: Vec<String>,
        /// Whom the server knows us as, where it asks.
        user: Option<String>,
    },
}

impl ChannelKind {
    /// Its name, as the configuration has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ntfy { .. } => "ntfy",
            Self::Webhook { .. } => "webhook",
            Self::Smtp { .. } => "smtp",
        }
    }
}

/// How the connection to a mail server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// It begins in the clear, and nothing is said before it is encrypted.
    Starttls,
    /// It is encrypted from its beginning.
    Tls,
    /// Not at all: only to this host.
    None,
}

impl SmtpTls {
    const fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// A name that fits a line and a database, whatever is made of it.
const LONGEST_NAME: usize = 32;

pub(super) fn channels(
    raw: &[RawChannel],
    base: &Path,
    problems: &mut Problems,
) -> Option<Vec<ChannelConfig>> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let section = format!("notify.channels[{index}]");
        if !names.insert(raw.name.as_str()) {
            let problem = format!("{section}.name: another channel has it");
            problems.0.push(problem);
        }
        all.push(one(&section, raw, base, problems));
    }
    all.into_iter().collect()
}

fn one(
    section: &str,
    raw: &RawChannel,
    base: &Path,
    problems: &mut Problems,
) -> Option<ChannelConfig> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let named = problems.require(
        !raw.name.is_empty() && raw.name.len() <= LONGEST_NAME && raw.name.chars().all(plain),
        &format!("{section}.name: 1 to {LONGEST_NAME} of a-z, 0-9 and `-` are needed"),
        raw.name.clone(),
    );
    let place = SecretPlace {
        section,
        keys: ("secret_file", "credential"),
    };
    let (file, credential) = (raw.secret_file.as_deref(), raw.credential.as_deref());
    let secret_file = place.find(file, credential, base, problems).ok();
    let checked = Checked { section, raw };
    let kind = checked.kind(problems);
    let secret_file = secret_file?;
    checked.secret(secret_file.is_some(), problems)?;
    Some(ChannelConfig {
        name: named?,
        kind: kind?,
        secret_file,
        ca_file: raw.ca_file.as_ref().map(|file| base.join(file)),
    })
}

struct Checked<'a> {
    section: &'a str,
    raw: &'a RawChannel,
}

impl Checked<'_> {
    fn kind(&self, problems: &mut Problems) -> Option<ChannelKind> {
        let raw = self.raw;
        match raw.kind.as_str() {
            "ntfy" => {
                self.not_smtp(problems)?;
                let (url, topic) = (self.url(problems), self.topic(problems));
                Some(ChannelKind::Ntfy {
                    url: url?,
                    topic: topic?,
                })
            }
            "webhook" => {
                self.not_smtp(problems)?;
                let none = problems.require(raw.topic.is_none(), &self.foreign("topic"), ());
                let url = self.url(problems);
                none.and(url).map(|url| ChannelKind::Webhook { url })
            }
            "smtp" => self.smtp(problems),
            _ => {
                let problem = "kind: one of `ntfy`, `webhook`, `smtp` is needed";
                problems.0.push(format!("{}.{problem}", self.section));
                None
            }
        }
    }

    fn foreign(&self, key: &str) -> String {
        format!(
            "{}.{key}: a channel of kind `{}` has none",
            self.section, self.raw.kind
        )
    }

    fn not_smtp(&self, problems: &mut Problems) -> Option<()> {
        let raw = self.raw;
        let keys = [
            ("server", raw.server.is_some()),
            ("port", raw.port.is_some()),
            ("tls", raw.tls.is_some()),
            ("from", raw.from.is_some()),
            ("to", !raw.to.is_empty()),
            ("user", raw.user.is_some()),
        ];
        let all = keys.map(|(key, is_set)| problems.require(!is_set, &self.foreign(key), ()));
        all.into_iter().collect()
    }

    fn url(&self, problems: &mut Problems) -> Option<WebUrl> {
        let key = format!("{}.url", self.section);
        let Some(url) = &self.raw.url else {
            problems.0.push(format!("{key}: it is needed"));
            return None;
        };
        problems.parse(&key, url)
    }

    fn topic(&self, problems: &mut Problems) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let topic = self.raw.topic.clone().unwrap_or_default();
        problems.require(
            (1..=64).contains(&topic.len()) && topic.chars().all(plain),
            &format!(
                "{}.topic: 1 to 64 of A-Z, a-z, 0-9, `-` and `_` are needed",
                self.section
            ),
            topic.clone(),
        )
    }

    fn smtp(&self, problems: &mut Problems) -> Option<ChannelKind> {
        let (section, raw) = (self.section, self.raw);
        for (key, is_set) in [("url", raw.url.is_some()), ("topic", raw.topic.is_some())] {
            problems.require(!is_set, &self.foreign(key), ());
        }
        let server = raw.server.clone().unwrap_or_default();
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        let server = problems.require(
            !server.is_empty() && server.chars().all(is_host),
            &format!("{section}.server: the name or address of a mail server is needed"),
            server,
        );
        let tls = match raw.tls.as_deref() {
            None | Some("starttls") => Some(SmtpTls::Starttls),
            Some("tls") => Some(SmtpTls::Tls),
            Some("none") => Some(SmtpTls::None),
            Some(_) => {
                let problem = "tls: one of `starttls`, `tls`, `none` is needed";
                problems.0.push(format!("{section}.{problem}"));
                None
            }
        };
        let from = self.mailbox("from", raw.from.as_deref().unwrap_or_default(), problems);
        let some = format!("{section}.to: at least one address is needed");
        problems.require(!raw.to.is_empty(), &some, ())?;
        let to: Option<Vec<String>> = raw
            .to
            .iter()
            .map(|to| self.mailbox("to", to, problems))
            .collect();
        let (server, tls) = (server?, tls?);
        let open = tls == SmtpTls::None && !crate::notify::is_loopback(&server);
        let problem = format!("{section}.tls: `none` is for a mail server on this host only");
        problems.require(!open, &problem, ())?;
        Some(ChannelKind::Smtp {
            server,
            port: raw.port.unwrap_or(tls.port()),
            tls,
            from: from?,
            to: to?,
            user: raw.user.clone(),
        })
    }

    fn mailbox(&self, key: &str, text: &str, problems: &mut Problems) -> Option<String> {
        let readable = crate::notify::is_mailbox(text);
        let problem = format!("{}.{key}: `{text}` is no mail address", self.section);
        problems.require(readable, &problem, text.to_owned())
    }

    fn secret(&self, there: bool, problems: &mut Problems) -> Option<()> {
        let (section, raw) = (self.section, self.raw);
        let problem = match raw.kind.as_str() {
            "webhook" if !there => "a webhook is signed: `secret_file` or `credential` is needed",
            "smtp" if there != raw.user.is_some() => {
                "`user` and the password's `secret_file` or `credential` belong together"
            }
            _ => return Some(()),
        };
        problems.0.push(format!("{section}: {problem}"));
        None
    }
}

/// The channel by the keys of the file.
pub(super) fn shown(channel: &ChannelConfig) -> Value {
    let mut shown = serde_json::Map::new();
    let mut put = |key: &str, value: Value| drop(shown.insert(key.to_owned(), value));
    put("name", json!(channel.name));
    put("kind", json!(channel.kind.name()));
    match &channel.kind {
        ChannelKind::Ntfy { url, topic } => {
            put("url", json!(url));
            put("topic", json!(topic));
        }
        ChannelKind::Webhook { url } => put("url", json!(url)),
        ChannelKind::Smtp {
            server,
            port,
            tls,
            from,
            to,
            user,
        } => {
            put("server", json!(server));
            put("port", json!(port));
            put("tls", json!(tls));
            put("from", json!(from));
            put("to", json!(to));
            if let Some(user) = user {
                put("user", json!(user));
            }
        }
    }
    for (key, path) in [
        ("secret_file", &channel.secret_file),
        ("ca_file", &channel.ca_file),
    ] {
        if let Some(path) = path {
            put(key, json!(path));
        }
    }
    Value::Object(shown)
}
