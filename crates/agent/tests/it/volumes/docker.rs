//! Docker engines as their own commands would describe them, and guests that have them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::*;

/// What `docker` prints in a guest.
#[derive(Clone)]
pub(super) struct Docker {
    root: String,
    volumes: Vec<Value>,
    /// Only listed: made between two commands.
    listed: Vec<String>,
    containers: Vec<Container>,
}

/// A container of it: up, and started again after a reboot.
#[derive(Clone)]
pub(super) struct Container {
    name: String,
    image: String,
    project: Option<String>,
    restart: String,
    running: bool,
    mounts: Vec<Value>,
}

pub(super) fn engine() -> Docker {
    Docker {
        root: "/var/lib/docker".to_owned(),
        volumes: Vec::new(),
        listed: Vec::new(),
        containers: Vec::new(),
    }
}

pub(super) fn container(name: &str, image: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: image.to_owned(),
        project: None,
        restart: "unless-stopped".to_owned(),
        running: true,
        mounts: Vec::new(),
    }
}

impl Container {
    pub(super) fn mounts(mut self, volume: &str, at: &str) -> Self {
        self.mounts.push(json!({
            "Type": "volume", "Name": volume, "Source": format!("/var/lib/docker/volumes/{volume}/_data"),
            "Destination": at, "Driver": "local", "Mode": "z", "RW": true, "Propagation": "",
        }));
        self
    }

    pub(super) fn binds(mut self, path: &str, at: &str) -> Self {
        self.mounts.push(json!({
            "Type": "bind", "Source": path, "Destination": at, "Mode": "", "RW": true, "Propagation": "rprivate",
        }));
        self
    }

    pub(super) fn project(mut self, project: &str) -> Self {
        self.project = Some(project.to_owned());
        self
    }

    pub(super) fn stopped(mut self) -> Self {
        self.running = false;
        self
    }

    pub(super) fn restart(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.restart);
        self
    }

    fn inspected(&self, number: usize) -> Value {
        let mut labels = BTreeMap::new();
        if let Some(project) = &self.project {
            labels.insert("com.docker.compose.project", project.as_str());
            labels.insert("com.docker.compose.service", self.name.as_str());
        }
        json!({
            "Id": format!("{number:064x}"),
            "Name": format!("/{}", self.name),
            "Image": format!("sha256:{number:064x}"),
            "State": { "Status": if self.running { "running" } else { "exited" }, "Running": self.running },
            "HostConfig": { "RestartPolicy": { "Name": self.restart, "MaximumRetryCount": 0 } },
            "Config": { "Image": self.image, "Labels": labels, "Env": ["POSTGRES_PASSWORD=hunter2"] },
            "Mounts": self.mounts,
        })
    }
}

impl Docker {
    pub(super) fn at(mut self, root: &str) -> Self {
        root.clone_into(&mut self.root);
        self
    }

    pub(super) fn volume(self, name: &str, labels: &[(&str, &str)]) -> Self {
        self.made(name, labels, &Value::Null)
    }

    /// A volume whose bytes lie in another directory of the guest.
    pub(super) fn bound(self, name: &str, device: &str, labels: &[(&str, &str)]) -> Self {
        self.made(
            name,
            labels,
            &json!({ "type": "none", "o": "bind", "device": device }),
        )
    }

    fn made(mut self, name: &str, labels: &[(&str, &str)], options: &Value) -> Self {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        self.volumes.push(json!({
            "CreatedAt": "2026-11-23T08:00:00Z", "Driver": "local", "Labels": labels, "Name": name,
            "Mountpoint": format!("{}/volumes/{name}/_data", self.root), "Options": options, "Scope": "local",
        }));
        self
    }

    pub(super) fn listed(mut self, name: &str) -> Self {
        self.listed.push(name.to_owned());
        self
    }

    pub(super) fn with(mut self, container: Container) -> Self {
        self.containers.push(container);
        self
    }

    /// What the documented commands print, one after the other.
    pub(super) fn printed(&self) -> String {
        let info = json!({
            "ServerVersion": "28.2.2", "DockerRootDir": self.root, "Driver": "overlay2",
            "Containers": self.containers.len(),
        });
        let described = self
            .volumes
            .iter()
            .filter_map(|volume| volume["Name"].as_str());
        let names = described.chain(self.listed.iter().map(String::as_str));
        let lines: Vec<String> = names
            .map(|name| {
                let at = format!("{}/volumes/{name}/_data", self.root);
                let line = json!({
                    "Driver": "local", "Labels": "", "Links": "N/A", "Mountpoint": at, "Name": name,
                    "Scope": "local", "Size": "N/A",
                });
                line.to_string()
            })
            .collect();
        let containers = self.containers.iter().enumerate();
        let containers: Vec<Value> = containers
            .map(|(number, container)| container.inspected(number))
            .collect();
        [
            info.to_string(),
            lines.join("\n"),
            json!(self.volumes).to_string(),
            json!(containers).to_string(),
        ]
        .join("\n")
    }
}

impl Bench {
    /// Imports what the guest's engine prints.
    pub(super) async fn told(&self, vmid: u32, docker: &Docker) -> Ran {
        let file = self.directory.path().join("docker.json");
        std::fs::write(&file, docker.printed()).unwrap();
        let file = file.display().to_string();
        let ran = self
            .run(&["volumes", "import", &vmid.to_string(), &file])
            .await;
        assert!(ran.exit.code() == 0 || ran.exit.code() == 3, "{ran:?}");
        ran
    }

    /// The codes that `volumes show` has about a subject once the guest's engine has told this.
    pub(super) async fn shown(&self, vmid: u32, docker: &Docker, subject: &str) -> Vec<String> {
        self.told(vmid, docker).await;
        let shown = self.run(&["volumes", "show", &vmid.to_string()]).await;
        let expected = if shown.data()["findings"] == json!([]) {
            0
        } else {
            3
        };
        assert_eq!(shown.exit.code(), expected, "{shown:?}");
        codes(&shown.data(), subject)
    }

    /// The codes that `backup run` has about a subject.
    pub(super) async fn backed_up(&self, vmid: u32, subject: &str) -> Vec<String> {
        let ran = self.run(&["backup", "run", &vmid.to_string()]).await;
        assert_eq!(ran.data()["verdict"], "good", "{ran:?}");
        codes(&ran.data(), subject)
    }

    /// Changes files inside a guest.
    pub(super) async fn files(&self, vmid: u32, changes: Value) {
        let order = json!({ "vmid": vmid, "changes": changes });
        self.world.control("guest-files", order).await.unwrap();
    }

    /// `pct set` in root's shell on the node.
    pub(super) async fn pct_set(&self, vmid: u32, set: Value) {
        let order = json!({ "vmid": vmid, "set": set });
        self.world.control("pct-set", order).await.unwrap();
    }

    /// What `status` says of a guest: posture and reasons.
    pub(super) async fn posture(&self, vmid: u32) -> (String, Vec<String>) {
        let status = self.run(&["status"]).await.data();
        let guests = status["guests"].as_array().unwrap();
        let guest = guests.iter().find(|guest| guest["vmid"] == vmid).unwrap();
        let reasons = guest["reasons"].as_array().unwrap().iter();
        let reasons = reasons.map(|reason| reason.as_str().unwrap().to_owned());
        let posture = guest["posture"].as_str().unwrap().to_owned();
        (posture, reasons.collect())
    }
}

/// The codes of a document's findings about a subject, in order, each as often as it is there.
pub(super) fn codes(data: &Value, subject: &str) -> Vec<String> {
    let findings = data["findings"].as_array().unwrap().iter();
    let about = findings.filter(|finding| finding["subject"] == subject);
    let mut codes: Vec<String> = about
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    codes
}

pub(super) const HOT: &[(&str, &str)] = &[("felhom.class", "hot")];
pub(super) const BULK: &[(&str, &str)] = &[("felhom.class", "bulk")];
pub(super) const COVERED: &[(&str, &str)] = &[
    ("felhom.class", "bulk"),
    ("felhom.protected-by", "the film archive at the office"),
];
