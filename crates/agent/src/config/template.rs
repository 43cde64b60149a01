//! A configuration written by a program, in the shape that a person would write.

use std::fmt::Write;

/// The values that differ from box to box; everything else is left to its default.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Node name.
    pub node: String,
    /// `https://host:port`.
    pub url: String,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// Where the journal goes; relative to the configuration file.
    pub state_dir: String,
    /// Token and secret file of the principal `agent`.
    pub agent: (String, String),
    /// Token and secret file of the principal `restore-test`.
    pub restore_test: (String, String),
    /// Storage and directory whose archives may be read.
    pub archives: Vec<(String, String)>,
    /// Further lines: whole sections.
    pub extra: String,
}

impl Template {
    /// The configuration file's text.
    pub fn to_toml(&self) -> String {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = String::new();
        let mut line = |text_line: String| {
            // Writing to a string does not fail.
            if writeln!(text, "{text_line}").is_err() {}
        };
        line(format!("node = {}", quote(&self.node)));
        line(format!("state_dir = {}", quote(&self.state_dir)));
        line(format!(
            "\n[pve]\nurl = {}\nfingerprint = {}",
            quote(&self.url),
            quote(&self.fingerprint)
        ));
        for (name, (token, secret_file)) in
            [("agent", &self.agent), ("restore-test", &self.restore_test)]
        {
            line(format!(
                "\n[principals.{name}]\ntoken = {}\nsecret_file = {}",
                quote(token),
                quote(secret_file)
            ));
        }
        for (storage, path) in &self.archives {
            line(format!(
                "\n[[archives]]\nstorage = {}\npath = {}",
                quote(storage),
                quote(path)
            ));
        }
        if !self.extra.is_empty() {
            line(format!("\n{}", self.extra.trim_end()));
        }
        text
    }
}
