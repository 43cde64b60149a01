//! Which command printed a document, told by its shape alone.

use serde_json::{Map, Value};

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A member of `docker volume inspect`.
    Volume,
    /// A line of `docker volume ls --format '{{json .}}'`.
    Listed,
    /// A member of `docker container inspect`.
    Container,
    /// A member of `docker image inspect`.
    Image,
    /// `docker info --format '{{json .}}'`.
    Info,
    /// `docker system df -v --format '{{json .}}'`.
    DiskUsage,
    /// A volume report.
    Report,
}

/// What it looks like, and what to give instead.
type Foreign = (&'static str, &'static str);

const INSPECT: &str = "give it what `docker volume inspect`, `docker container inspect`, `docker image inspect`, `docker info` \
                       and `docker system df -v` print";

pub(super) fn of(value: &Value) -> Result<Kind, Foreign> {
    let Value::Object(object) = value else {
        return Err((
            "JSON that is neither an object nor an array of objects",
            INSPECT,
        ));
    };
    let has = |keys: &[&str]| keys.iter().all(|key| object.contains_key(*key));
    if has(&["schema", "version"]) {
        return Ok(Kind::Report);
    }
    if has(&["Id", "HostConfig", "Config"]) {
        return Ok(Kind::Container);
    }
    if has(&["Id", "RootFS"]) {
        return Ok(Kind::Image);
    }
    if has(&["ServerErrors"]) || has(&["DockerRootDir", "ServerVersion"]) {
        return Ok(Kind::Info);
    }
    if has(&["Images", "Containers", "Volumes"]) {
        return Ok(Kind::DiskUsage);
    }
    if has(&["Name", "Driver", "Mountpoint"]) {
        // The list prints labels as one text, inspect as an object or null.
        let listed = object.get("Labels").is_some_and(Value::is_string);
        return Ok(if listed { Kind::Listed } else { Kind::Volume });
    }
    Err(foreign(object))
}

/// What else docker prints, so that whoever gave the wrong thing hears what the right one is.
fn foreign(object: &Map<String, Value>) -> Foreign {
    let has = |keys: &[&str]| keys.iter().all(|key| object.contains_key(*key));
    if has(&["TotalCount", "Reclaimable"]) {
        (
            "the summary of `docker system df`",
            "add -v: `docker system df -v --format \"{{json .}}\"`",
        )
    } else if has(&["ID", "Names", "Mounts"]) {
        (
            "a line of `docker ps`, which does not tell what is mounted",
            "give it `docker ps -aq --no-trunc | xargs -r docker container inspect`",
        )
    } else if has(&["Name", "IPAM"]) {
        ("a network", INSPECT)
    } else if has(&["Client"]) {
        (
            "the output of `docker version`",
            "give it `docker info --format \"{{json .}}\"`",
        )
    } else if has(&["Repository", "Tag"]) {
        (
            "a line of `docker image ls`",
            "give it `docker image inspect` of the images that containers use",
        )
    } else {
        (
            "a JSON object that none of the documented commands prints",
            INSPECT,
        )
    }
}
