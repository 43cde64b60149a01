//! What an inventory leaves out: a list that is not whole proves nothing of what it does not name.

use felhom_ids::Vmid;

use crate::finding::{Finding, codes};
use crate::volumes::{Extent, Inventory};

/// How many names a finding lists.
const NAMED: usize = 5;

/// What is known to be missing from the inventory of a guest.
pub fn gaps(vmid: Vmid, inventory: &Inventory) -> Option<Finding> {
    let undescribed: Vec<&str> = inventory
        .volumes
        .iter()
        .filter(|volume| !volume.described)
        .map(|volume| volume.name.as_str())
        .collect();
    let mut missing = Vec::new();
    if !undescribed.is_empty() {
        let named: Vec<_> = undescribed.iter().take(NAMED).copied().collect();
        let more = if undescribed.len() > NAMED {
            ", …"
        } else {
            ""
        };
        missing.push(format!(
            "{} volume(s) are named but not described ({}{more})",
            undescribed.len(),
            named.join(", ")
        ));
    } else if inventory.coverage.volumes == Extent::Some {
        missing.push("not all volumes are in it".to_owned());
    }
    if inventory.coverage.containers == Extent::Some {
        missing.push("not all containers are in it".to_owned());
    }
    if missing.is_empty() {
        return None;
    }
    let finding = Finding::new(
        codes::VOLUMES_INCOMPLETE,
        format!("guest {vmid}"),
        format!(
            "the report on its Docker volumes is not whole: {}",
            missing.join("; ")
        ),
    );
    Some(finding.hint(format!(
        "take it with all of the commands that `felhom-agent volumes import --help` lists, at one time, and import it for \
         {vmid} again"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::volumes::{Coverage, DockerVolume};

    fn inventory(described: &[bool], coverage: Coverage) -> Inventory {
        let volume = |(number, described): (usize, &bool)| DockerVolume {
            name: format!("v{number}"),
            driver: "local".to_owned(),
            options: [].into(),
            labels: [].into(),
            mountpoint: String::new(),
            anonymous: false,
            size: None,
            described: *described,
        };
        Inventory {
            taken: Timestamp::from_millis(0),
            data_root: "/var/lib/docker".to_owned(),
            storage_driver: None,
            volumes: described.iter().enumerate().map(volume).collect(),
            containers: Vec::new(),
            coverage,
        }
    }

    #[test]
    fn what_is_known_to_be_missing_is_a_finding_and_what_is_unknown_is_none() {
        let vmid = Vmid::new(9001).unwrap();
        let all = Coverage {
            volumes: Extent::All,
            containers: Extent::All,
        };
        assert_eq!(gaps(vmid, &inventory(&[true, true], all)), None);
        assert_eq!(gaps(vmid, &inventory(&[true], Coverage::default())), None);
        let some = Coverage {
            volumes: Extent::Some,
            containers: Extent::Some,
        };
        let detail =
            |described, coverage| gaps(vmid, &inventory(described, coverage)).unwrap().detail;
        let told = detail(&[true, false], some);
        assert!(
            told.contains("1 volume(s) are named but not described (v1)"),
            "{told}"
        );
        assert!(told.contains("not all containers"), "{told}");
        let told = detail(&[false; 7], some);
        assert!(
            told.contains("7 volume(s)") && told.contains("v4, …)"),
            "{told}"
        );
        assert!(detail(&[], some).contains("not all volumes are in it"));
    }
}
