//! Answers of a PVE server, good and bad. The first line of the input is status and reason, the rest is the body.

use std::collections::BTreeSet;
use std::error::Error as _;

use felhom_proxmox::pve::guests::LxcConfig;
use felhom_proxmox::pve::{
    access, backup, cluster, disks, guests, identities, network, nodes, packages, pools, storage,
    tasks, version,
};
use felhom_proxmox::task::Started;
use felhom_proxmox::{Credentials, Delivery, Endpoint, Error, Method, Request, Token, decode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::claims::{beginnings, harmless};
use crate::leak::shows;

/// The secret of the token that asks; nobody else's.
const SECRET: &str = "0f0f0f0f-5ec2-4e75-8bad-c0ffee15bad1";

/// Where an answer is cut in two as errors cut it: their limits, and places around them.
const PLACES: [usize; 6] = [0, 180, 385, 980, 3_985, 40_000];

/// An answer is read whole or refused; an error is bounded, holds no secret, and never guesses that nothing was done.
pub fn pve_envelope(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let head = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let digits = head.get(..3).and_then(|digits| str::from_utf8(digits).ok());
    let status = digits.and_then(|digits| digits.parse().ok()).unwrap_or(200);
    let reason = head.get(4..);
    let answer = Answer {
        status,
        reason,
        body,
    };
    if (200..300).contains(&status) {
        answer.is_read_or_refused();
    } else {
        answer.is_understood();
    }
    answer.keeps_our_secret();
    let text = String::from_utf8_lossy(body);
    let places = PLACES.map(|place| text.floor_char_boundary(place));
    for place in BTreeSet::from(places) {
        answer.echoes_our_secret_at(text.split_at(place));
    }
}

struct Answer<'a> {
    status: u16,
    reason: Option<&'a [u8]>,
    body: &'a [u8],
}

fn request() -> Request {
    Request::new(Method::Post, &[&"nodes", &"demo-felhom", &"x"])
}

fn credentials() -> Credentials {
    let id = "felhom-agent@pve!agent".parse().unwrap();
    Token::new(id, &SecretString::from(SECRET)).into()
}

impl Answer<'_> {
    /// Every type that we read, and anything.
    fn is_read_or_refused(&self) {
        let Self { body, .. } = self;
        if let Some(value) = read::<Value>(body) {
            // What stands beside `data` need not make sense to anybody.
            if let Ok(object) = serde_json::from_slice::<Value>(body) {
                assert_eq!(object.get("data"), Some(&value));
            }
            for beginning in beginnings(body.trim_ascii_end()) {
                let cut = read::<Value>(beginning);
                assert!(cut.is_none(), "{:?}", String::from_utf8_lossy(beginning));
            }
            let again = serde_json::json!({ "data": value }).to_string();
            // Not compared: serde_json reads a fraction back to the last digit but one.
            assert!(read::<Value>(again.as_bytes()).is_some(), "{again}");
        }
        of::<access::GetPermissions>(body);
        of::<backup::ExtractConfig>(body);
        of::<cluster::NextId>(body);
        of::<disks::ListDisks>(body);
        of::<disks::ListThinPools>(body);
        if let Some(smart) = read::<disks::Smart>(body) {
            std::hint::black_box((smart.celsius(), smart.worn_percent(), smart.health()));
        }
        of::<guests::GetLxcInterfaces>(body);
        of::<guests::ListLxc>(body);
        of::<guests::ListSnapshots>(body);
        of::<network::ListInterfaces>(body);
        of::<nodes::GetNodeStatus>(body);
        of::<packages::ListPackages>(body);
        of::<pools::GetPool>(body);
        of::<storage::GetVolume>(body);
        of::<storage::ListContent>(body);
        of::<storage::ListStorageConfigs>(body);
        of::<storage::ListStorages>(body);
        of::<tasks::ListTasks>(body);
        of::<tasks::StopTask>(body);
        of::<tasks::TaskLogOf>(body);
        of::<tasks::TaskStatusOf>(body);
        of::<version::GetVersion>(body);
        starts(body);
        if let Some(config) = read::<LxcConfig>(body) {
            drop((config.nets(), config.mounts(), config.rootfs()));
            drop((config.tags(), config.devices(), config.memory()));
        }
    }

    fn error(&self) -> Error {
        Error::refused(
            &request(),
            self.status,
            self.reason,
            self.body,
            &credentials(),
        )
    }

    /// What a refusal means is bounded, and where nobody can know what was done, nobody says so.
    fn is_understood(&self) {
        let error = self.error();
        bounded(&error);
        let unknown = matches!(self.status, 502..=504 | 596..=599);
        let expected = match self.status {
            595 => Delivery::NotSent,
            _ if unknown => Delivery::Unknown,
            _ => Delivery::Answered,
        };
        assert_eq!(error.delivery(), expected, "{error}");
        match self.status {
            401 => assert!(matches!(error, Error::Unauthorized { .. }), "{error}"),
            403 => assert!(matches!(error, Error::Forbidden { .. }), "{error}"),
            _ => assert!(!matches!(
                error,
                Error::Unauthorized { .. } | Error::Forbidden { .. }
            )),
        }
    }

    /// The same answer with our secret in it: between these parts of the body, and at the end of the reason.
    fn echoes_our_secret_at(&self, (before, behind): (&str, &str)) {
        let body = format!("{before}{SECRET}{behind}");
        let mut reason = self.reason.unwrap_or_default().to_vec();
        reason.extend_from_slice(SECRET.as_bytes());
        let echo = Answer {
            status: self.status,
            reason: Some(&reason),
            body: body.as_bytes(),
        };
        echo.keeps_our_secret();
    }

    /// Whatever is made of it, no error shows our secret, however the server writes it.
    fn keeps_our_secret(&self) {
        let (ask, us, body) = (request(), credentials(), self.body);
        let mut errors = vec![self.error()];
        errors.extend(decode::data::<Vec<u64>>(&ask, body, &us).err());
        errors.extend(decode::data::<storage::Volume>(&ask, body, &us).err());
        errors.extend(decode::data::<Vec<tasks::TaskEntry>>(&ask, body, &us).err());
        errors.extend(started(body).err());
        // Nobody knows yet the secret that such an answer brings.
        let bringing = identities::IssueToken {
            token: "felhom-test@pve!restore-test".parse().unwrap(),
            regenerate: false,
            comment: String::new(),
        };
        let bringing = bringing.request(&"pve".parse().unwrap());
        errors.extend(decode::data::<u64>(&bringing, body, &Credentials::Anonymous).err());
        for error in errors {
            let text = whole(&error);
            assert!(!shows(&text, SECRET), "{text}");
        }
    }
}

/// Reads it as the answer of this call.
fn of<E: Endpoint>(body: &[u8]) {
    read::<E::Response>(body);
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    match decode::data(&request(), body, &credentials()) {
        Ok(data) => Some(data),
        Err(error) => {
            assert!(matches!(error, Error::Decode { .. }), "{error:?}");
            assert_eq!(error.delivery(), Delivery::Unknown);
            assert!(!error.is_transient());
            bounded(&error);
            harmless(&chain(&error));
            None
        }
    }
}

fn started(body: &[u8]) -> Result<(), Error> {
    let started: Started = decode::data(&request(), body, &credentials())?;
    started.task(&request(), &credentials()).map(drop)
}

/// Only a UPID is a task.
fn starts(body: &[u8]) {
    let Some(data) = read::<Value>(body) else {
        return assert!(started(body).is_err());
    };
    let text = data.as_str().map(str::to_owned);
    let is_upid = text.is_some_and(|text| text.parse::<felhom_ids::Upid>().is_ok());
    match started(body) {
        Ok(()) => assert!(is_upid),
        Err(error) => {
            assert!(!is_upid);
            let settled = matches!(&error, Error::NoTask { answer, .. } if answer == "OK");
            assert_eq!(error.delivery() == Delivery::Answered, settled, "{error}");
            bounded(&error);
        }
    }
}

/// The error and its causes, as logs and people get to see it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// All that anybody can get out of it.
fn whole(error: &Error) -> String {
    format!("{} {:?} {:?}", chain(error), error, error.hint())
}

/// However long an answer is, its error fills no log.
fn bounded(error: &Error) {
    let length = chain(error).chars().count();
    assert!(length <= 50_000, "{length} characters: {error:.200}");
}
