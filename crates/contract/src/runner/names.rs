//! Names in braces: what a question calls by name and every target calls otherwise.

use std::collections::BTreeMap;

use crate::http::{Body, Request, encoded};
use crate::question::Table;
use crate::runner::{Halt, Runner};

/// Replaces `{name}`; doubled braces stand for themselves.
pub(crate) fn fill(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(place);
        filled.push_str(before);
        if let Some(behind) = from.strip_prefix("{{") {
            filled.push('{');
            rest = behind;
        } else if let Some(behind) = from.strip_prefix("}}") {
            filled.push('}');
            rest = behind;
        } else {
            let name = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let (name, behind) = name.ok_or_else(|| format!("a lone brace in `{text}`"))?;
            let value = lookup(name).ok_or_else(|| format!("no `{{{name}}}` on this target"))?;
            filled.push_str(&value);
            rest = behind;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

impl Runner<'_> {
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        self.local
            .get(name)
            .or_else(|| self.names.get(name))
            .cloned()
    }

    /// Fills a text; a name that this target lacks makes the question not applicable.
    pub(crate) fn text(&self, text: &str) -> Result<String, Halt> {
        fill(text, &|name| self.lookup(name)).map_err(Halt::NotApplicable)
    }

    /// Fills an expected text. Unknown names stay as they are and then match nothing.
    pub(crate) fn expected(&self, text: &str) -> String {
        fill(text, &|name| self.lookup(name)).unwrap_or_else(|_| text.to_owned())
    }

    /// Builds the request of `METHOD PATH` with parameters.
    pub(crate) fn request(&self, ask: &str, with: &Table) -> Result<Request, Halt> {
        let broken = || Halt::Broken(format!("`{ask}` is no request"));
        let (method, path) = ask.split_once(' ').ok_or_else(broken)?;
        // With `=` a name stands in the path as it is.
        let path = fill(path, &|name| match name.strip_prefix('=') {
            Some(name) => self.lookup(name),
            None => self.lookup(name).map(|value| encoded(&value)),
        });
        let path = path.map_err(Halt::NotApplicable)?;
        let mut form = Vec::new();
        for (key, value) in with {
            self.parameter(&mut form, key, value)?;
        }
        Ok(Request::new(method, &path, form))
    }

    fn parameter(
        &self,
        form: &mut Vec<(String, String)>,
        key: &str,
        value: &toml::Value,
    ) -> Result<(), Halt> {
        let text = match value {
            toml::Value::String(text) => self.text(text)?,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(on) => u8::from(*on).to_string(),
            toml::Value::Array(list) => {
                // A repeated key.
                for value in list {
                    self.parameter(form, key, value)?;
                }
                return Ok(());
            }
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
                return Err(Halt::Broken(format!("parameter `{key}` is no scalar")));
            }
        };
        form.push((key.to_owned(), text));
        Ok(())
    }
}

/// The same parameters as a JSON object.
pub(crate) fn as_json(request: Request) -> Request {
    let Body::Form(form) = &request.body else {
        return request;
    };
    let object: BTreeMap<&String, &String> = form.iter().map(|(key, value)| (key, value)).collect();
    let text = serde_json::to_string(&object).unwrap_or_default();
    Request {
        body: Body::Raw {
            kind: "application/json".into(),
            text,
        },
        ..request
    }
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn names_are_filled_and_doubled_braces_stay() {
        let lookup = |name: &str| (name == "node").then(|| "pve".to_owned());
        let filled = |text| fill(text, &lookup);
        assert_eq!(filled("/nodes/{node}/lxc").as_deref(), Ok("/nodes/pve/lxc"));
        assert_eq!(
            filled("{{{{vmid}}}} of {node}").as_deref(),
            Ok("{{vmid}} of pve")
        );
        assert!(filled("{nope}").is_err());
        assert!(filled("a } b").is_err());
    }
}
