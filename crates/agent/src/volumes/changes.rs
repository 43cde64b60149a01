//! What differs between two reports on one guest, by the names of things.

use std::collections::{BTreeMap, BTreeSet};

use felhom_protocol::volumes::{Container, Volume, VolumeReport};
use serde::Serialize;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Changes {
    /// Volumes; their sizes do not count.
    pub volumes: Difference,
    /// Containers; whether they run does not count.
    pub containers: Difference,
}

/// Names that came, that went, and that stand for something else now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    /// Were not there before.
    pub added: BTreeSet<String>,
    /// Are not there any more.
    pub removed: BTreeSet<String>,
    /// Are made or mounted otherwise.
    pub changed: BTreeSet<String>,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.containers.is_empty()
    }
}

/// What a later report says that an earlier one did not.
pub fn changes(earlier: &VolumeReport, later: &VolumeReport) -> Changes {
    let volumes = |report: &VolumeReport| -> BTreeMap<String, Volume> {
        let lasting = report.volumes.iter().map(|volume| Volume {
            size: None,
            ..volume.clone()
        });
        lasting
            .map(|volume| (volume.name.clone(), volume))
            .collect()
    };
    let containers = |report: &VolumeReport| -> BTreeMap<String, Container> {
        // An updated image makes a container of another id.
        let lasting = report.containers.iter().map(|container| Container {
            id: String::new(),
            running: false,
            state: String::new(),
            ..container.clone()
        });
        lasting.map(|one| (one.name.clone(), one)).collect()
    };
    Changes {
        volumes: difference(&volumes(earlier), &volumes(later)),
        containers: difference(&containers(earlier), &containers(later)),
    }
}

fn difference<T: PartialEq>(
    earlier: &BTreeMap<String, T>,
    later: &BTreeMap<String, T>,
) -> Difference {
    let mut difference = Difference::default();
    for (name, now) in later {
        match earlier.get(name) {
            None => difference.added.insert(name.clone()),
            Some(then) if then != now => difference.changed.insert(name.clone()),
            Some(_) => false,
        };
    }
    let gone = earlier.keys().filter(|name| !later.contains_key(*name));
    difference.removed = gone.cloned().collect();
    difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(volumes: &str) -> VolumeReport {
        let document = format!(
            r#"{{"schema":"felhom.volume-report","version":1,"data":{{"containers":[],"volumes":[{volumes}]}}}}"#
        );
        felhom_protocol::read(document.as_bytes()).unwrap()
    }

    #[test]
    fn what_came_went_and_is_made_otherwise_is_told_apart_and_growing_is_no_change() {
        let earlier = report(
            r#"{"name":"a","described":true,"size":1},{"name":"b","described":true,"driver":"local"},
               {"name":"c","described":true}"#,
        );
        let later = report(
            r#"{"name":"a","described":true,"size":2},{"name":"b","described":true,"driver":"nfs"},
               {"name":"d","described":true}"#,
        );
        let changes = changes(&earlier, &later);
        let names = |name: &str| BTreeSet::from([name.to_owned()]);
        assert_eq!(changes.volumes.added, names("d"));
        assert_eq!(changes.volumes.removed, names("c"));
        assert_eq!(changes.volumes.changed, names("b"));
        assert!(changes.containers.is_empty() && !changes.is_empty());
        assert!(super::changes(&later, &later).is_empty());
    }
}
