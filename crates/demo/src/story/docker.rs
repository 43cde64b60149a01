//! The Docker engine inside the demo's guest: what its commands would print, and what becomes of that by a placement plan.

use serde_json::{Map, Value, json};

/// Where Docker keeps its volumes.
const VOLUMES: &str = "/var/lib/docker/volumes";
/// The compose project that everything belongs to.
const PROJECT: &str = "stack";

struct Volume {
    name: &'static str,
    bytes: u64,
    /// The directory that it is bound to, when that is not Docker's own.
    device: Option<String>,
    labels: Map<String, Value>,
}

struct Container {
    name: &'static str,
    image: &'static str,
    volume: &'static str,
    at: &'static str,
    running: bool,
}

pub(super) struct Engine {
    volumes: Vec<Volume>,
    containers: Vec<Container>,
}

/// Docker's own directory of a volume.
pub(super) fn own_directory(volume: &str) -> String {
    format!("{VOLUMES}/{volume}")
}

impl Engine {
    /// A database, people's pictures, and films.
    pub(super) fn new(films: u64) -> Self {
        let volume = |name, bytes, labels: &[&str]| Volume {
            name,
            bytes,
            device: None,
            labels: labels
                .iter()
                .map(|class| ("felhom.class".to_owned(), json!(class)))
                .collect(),
        };
        let container = |name, image, volume, at| Container {
            name,
            image,
            volume,
            at,
            running: true,
        };
        Self {
            volumes: vec![
                volume("films", films, &[]),
                volume("pgdata", 2 << 20, &[]),
                volume("uploads", 512 << 10, &["hot"]),
            ],
            containers: vec![
                container("db", "postgres:17", "pgdata", "/var/lib/postgresql/data"),
                container(
                    "gallery",
                    "example.org/gallery:4",
                    "uploads",
                    "/srv/uploads",
                ),
                container("player", "jellyfin/jellyfin:10", "films", "/media"),
            ],
        }
    }

    /// What the documented commands print, one after the other.
    pub(super) fn printed(&self) -> String {
        let info = json!({
            "ServerVersion": "28.2.2", "DockerRootDir": "/var/lib/docker", "Driver": "overlay2",
            "Containers": self.containers.len(),
        });
        let listed = self.volumes.iter().map(|volume| line(volume, false));
        let listed: Vec<String> = listed.map(|line| line.to_string()).collect();
        let inspected: Vec<Value> = self.volumes.iter().map(inspected_volume).collect();
        let containers: Vec<Value> = self.containers.iter().map(inspected_container).collect();
        // Volumes with options are not counted.
        let counted = self.volumes.iter().filter(|one| one.device.is_none());
        let counted: Vec<Value> = counted.map(|volume| line(volume, true)).collect();
        [
            info.to_string(),
            listed.join("\n"),
            json!(inspected).to_string(),
            json!(containers).to_string(),
            json!({ "Images": [], "Containers": [], "Volumes": counted }).to_string(),
        ]
        .join("\n")
    }

    /// `docker stop`, or compose brings the project up.
    pub(super) fn set_running(&mut self, names: &[&str], running: bool) {
        for container in &mut self.containers {
            if names.contains(&container.name) || names.contains(&PROJECT) {
                container.running = running;
            }
        }
    }

    /// `docker volume rm` and `docker volume create` with a directory to bind.
    pub(super) fn recreate(&mut self, name: &str, device: &str, labels: &Map<String, Value>) {
        for volume in self.volumes.iter_mut().filter(|volume| volume.name == name) {
            volume.device = Some(device.to_owned());
            volume.labels.clone_from(labels);
        }
    }
}

fn mountpoint(volume: &str) -> String {
    format!("{}/_data", own_directory(volume))
}

fn line(volume: &Volume, counted: bool) -> Value {
    let size = if counted {
        format!("{}B", volume.bytes)
    } else {
        "N/A".to_owned()
    };
    json!({
        "Driver": "local", "Labels": "", "Links": "N/A", "Mountpoint": mountpoint(volume.name),
        "Name": volume.name, "Scope": "local", "Size": size,
    })
}

fn inspected_volume(volume: &Volume) -> Value {
    let options = volume
        .device
        .as_ref()
        .map(|device| json!({ "type": "none", "o": "bind", "device": device }));
    json!({
        "CreatedAt": "2026-11-01T08:00:00Z", "Driver": "local", "Labels": volume.labels,
        "Mountpoint": mountpoint(volume.name), "Name": volume.name, "Options": options, "Scope": "local",
    })
}

fn inspected_container(container: &Container) -> Value {
    let Container {
        name,
        image,
        volume,
        at,
        running,
    } = container;
    json!({
        "Id": format!("{name:0<64}"), "Name": format!("/{PROJECT}-{name}-1"),
        "State": { "Status": if *running { "running" } else { "exited" }, "Running": running },
        "HostConfig": { "RestartPolicy": { "Name": "unless-stopped" } },
        "Config": {
            "Image": image,
            "Labels": { "com.docker.compose.project": PROJECT, "com.docker.compose.service": name },
        },
        "Mounts": [{
            "Type": "volume", "Name": volume, "Source": mountpoint(volume), "Destination": at,
            "Driver": "local", "RW": true,
        }],
    })
}
