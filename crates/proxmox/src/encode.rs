//! Requests as values, in the dialect that pveproxy reads.
//!
//! Its form decoder cuts values at a second raw `=`, splits pairs at `;` as well as at `&`, and
//! its schema takes only `1` and `0` for booleans: everything outside the unreserved characters is
//! therefore percent-encoded, in paths, queries and bodies alike.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

use felhom_ids::NodeName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The four methods that Proxmox answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads; may be repeated.
    Get,
    /// Creates or starts something.
    Post,
    /// Changes something.
    Put,
    /// Removes something.
    Delete,
}

impl Method {
    /// As in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether parameters travel in the body. PVE refuses a body on GET and DELETE.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// Something that the API offers: how to ask for it, and what comes back.
pub trait Endpoint {
    /// The shape of `data` in the answer.
    type Response: DeserializeOwned;

    /// The request, for a given node (endpoints of the cluster do not mention it).
    fn request(&self, node: &NodeName) -> Request;
}

/// One request, without where it goes and who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    params: String,
    slow: bool,
    fresh: bool,
    confidential: bool,
    longest_answer: Option<usize>,
}

impl Request {
    /// A request for the path of these segments, each encoded on its own.
    pub fn new(method: Method, segments: &[&dyn Display]) -> Self {
        let mut path = String::with_capacity(64);
        for segment in segments {
            path.push('/');
            encode_into(&mut path, segment);
        }
        Self {
            method,
            path,
            params: String::new(),
            slow: false,
            fresh: false,
            confidential: false,
            longest_answer: None,
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.push(key, &value);
        self
    }

    /// Adds a parameter when there is a value for it.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a boolean as `1` or `0`.
    #[must_use]
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.with(key, u8::from(value))
    }

    /// Adds a boolean when it is given.
    #[must_use]
    pub fn maybe_flag(self, key: &str, value: Option<bool>) -> Self {
        self.maybe(key, value.map(u8::from))
    }

    /// Adds a list as one value joined by commas: what PVE's `…-list` formats want. An empty list
    /// adds nothing.
    #[must_use]
    pub fn joined<T: Display>(self, key: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut text = String::new();
        for value in values {
            let separator = if text.is_empty() { "" } else { "," };
            let written = write!(text, "{separator}{value}");
            debug_assert!(written.is_ok(), "writing to a string does not fail");
        }
        if text.is_empty() {
            self
        } else {
            self.with(key, text)
        }
    }

    /// Adds a list as repeated keys: what PVE's arrays want.
    #[must_use]
    pub fn repeated<T: Display>(mut self, key: &str, values: impl IntoIterator<Item = T>) -> Self {
        for value in values {
            self.push(key, &value);
        }
        self
    }

    /// Marks a request whose answer may take long (PVE looks into a storage for it).
    #[must_use]
    pub fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// Demands a connection of its own, and thereby perhaps another worker of the server.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Marks a request whose answer holds a secret: an error shows nothing of it, however odd it is.
    #[must_use]
    pub fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    /// Sets a limit of its own for the length of the answer, in bytes.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.longest_answer = Some(bytes);
        self
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The encoded path below the API's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The encoded parameters, `a=1&b=2`.
    pub fn params(&self) -> &str {
        &self.params
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    pub(crate) fn longest_answer(&self) -> Option<usize> {
        self.longest_answer
    }

    pub(crate) fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// Mutations never travel on a connection that was idle: if it broke, nobody could tell
    /// whether they had arrived.
    pub(crate) fn needs_fresh_connection(&self) -> bool {
        self.fresh || self.method != Method::Get
    }

    /// What stands in the request line.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        if self.method.has_body() || self.params.is_empty() {
            Cow::Borrowed(&self.path)
        } else {
            Cow::Owned(format!("{}?{}", self.path, self.params))
        }
    }

    fn push(&mut self, key: &str, value: &dyn Display) {
        if !self.params.is_empty() {
            self.params.push('&');
        }
        encode_into(&mut self.params, &key);
        self.params.push('=');
        encode_into(&mut self.params, value);
    }
}

/// Method and path, as errors and logs name a request; parameters may hold what logs should not.
impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.path)
    }
}

fn encode_into(out: &mut String, value: &dyn Display) {
    struct Encoder<'a>(&'a mut String);
    impl Write for Encoder<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend(utf8_percent_encode(text, RESERVED));
            Ok(())
        }
    }
    let written = write!(Encoder(out), "{value}");
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// pveproxy's decoder: pairs split at `&` and `;`, `+` is a blank, and of `k=v=w` only `v` is kept.
    fn as_pveproxy_reads_it(form: &str) -> Vec<(String, String)> {
        let decode = |text: &str| {
            let blank = text.replace('+', " ");
            percent_encoding::percent_decode_str(&blank)
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        form.split(['&', ';'])
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let mut parts = pair.split('=');
                (
                    decode(parts.next().unwrap()),
                    decode(parts.next().unwrap_or("")),
                )
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_value_arrives_whole(key in "[a-z-]{1,9}", value in "\\PC{0,40}|[=;&+%, /:!]{0,20}") {
            let request = Request::new(Method::Post, &[&"x"]).with(&key, &value).with("z", 1);
            prop_assert_eq!(
                as_pveproxy_reads_it(request.params()),
                vec![(key, value), ("z".to_owned(), "1".to_owned())]
            );
        }

        #[test]
        fn every_segment_stays_one(segment in "\\PC{1,30}|[/%?#:]{1,9}") {
            let request = Request::new(Method::Get, &[&"a", &segment, &"b"]);
            prop_assert_eq!(request.path().split('/').count(), 4);
            let middle = request.path().split('/').nth(2).unwrap();
            prop_assert_eq!(percent_encoding::percent_decode_str(middle).decode_utf8().unwrap(), segment);
        }
    }

    #[test]
    fn parameters_of_a_delete_travel_in_the_query() {
        let request =
            Request::new(Method::Delete, &[&"nodes", &"n", &"lxc", &9001]).flag("force", true);
        assert_eq!(request.target(), "/nodes/n/lxc/9001?force=1");
        let request = Request::new(Method::Put, &[&"nodes", &"n"]).flag("force", false);
        assert_eq!(request.target(), "/nodes/n");
        assert_eq!(request.params(), "force=0");
    }

    #[test]
    fn volume_ids_are_one_segment() {
        let request = Request::new(Method::Get, &[&"local:backup/vzdump-lxc-1!x.tar.zst"]);
        assert_eq!(request.path(), "/local%3Abackup%2Fvzdump-lxc-1%21x.tar.zst");
    }

    #[test]
    fn lists_have_two_encodings() {
        let request = Request::new(Method::Post, &[&"x"])
            .joined("delete", ["net1", "net2"])
            .repeated("exclude-path", ["/a", "/b"])
            .joined("none", [""; 0]);
        assert_eq!(
            request.params(),
            "delete=net1%2Cnet2&exclude-path=%2Fa&exclude-path=%2Fb"
        );
    }

    #[test]
    fn only_reads_may_ride_on_an_idle_connection() {
        assert!(!Request::new(Method::Get, &[&"x"]).needs_fresh_connection());
        assert!(
            Request::new(Method::Get, &[&"x"])
                .fresh()
                .needs_fresh_connection()
        );
        for method in [Method::Post, Method::Put, Method::Delete] {
            assert!(Request::new(method, &[&"x"]).needs_fresh_connection());
        }
    }

    #[test]
    fn the_name_of_a_request_holds_no_parameters() {
        let request =
            Request::new(Method::Post, &[&"nodes", &"n", &"lxc"]).with("password", "hunter2");
        assert_eq!(request.to_string(), "POST /nodes/n/lxc");
    }
}
