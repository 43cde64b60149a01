//! The trap: a bulk volume in the rootfs swells every backup. Found, planned for, moved step by step, and proven to be out.

use anyhow::{Context, bail, ensure};
use felhom_agent::exit::Exit;
use serde_json::{Map, Value, json};

use super::docker::{Engine, own_directory};
use super::{Teller, at, volid};

const VMID: u32 = 9001;
/// Two films that no compression makes smaller.
const FILM: u64 = 8 << 20;

impl Teller<'_> {
    pub(super) async fn trap(&mut self) -> anyhow::Result<()> {
        self.chapter("The trap: a named volume lies in the rootfs, and so in every backup");
        let mut engine = Engine::new(2 * FILM);
        self.fill_films().await?;
        self.import(&engine).await?;
        let shown = self.agent(&["volumes", "show", "9001"], Exit::Findings);
        let shown = shown.await?;
        self.promise(
            "the trap is seen before a backup swells",
            codes(&shown) == ["volume-bulk-in-backup"],
        );
        let swollen = self
            .agent(&["backup", "run", "9001"], Exit::Findings)
            .await?;
        self.promise(
            "the films are in the archive",
            held(&swollen, "films") >= 2 * FILM,
        );

        self.chapter("Out of the trap: every step with what is true when everything stops there");
        let plan = self.agent(&["volumes", "plan", "9001"], Exit::Done).await?;
        let steps = at(&plan, "/moves/0/steps").and_then(Value::as_array);
        let steps = steps.context("the plan has no steps")?;
        (self.say)("  (now played in the simulated guest, from the plan's own document)");
        for (number, step) in steps.iter().enumerate() {
            let text = |key: &str| step[key].as_str().unwrap_or_default();
            let (side, action) = (text("side"), text("action"));
            (self.say)(&format!("  {}. {side}: {action}", number + 1));
            self.play(step, &mut engine, &volid(&swollen)?).await?;
        }
        // The old copy was in the rootfs until the last step.
        let slim = self
            .agent(&["backup", "run", "9001"], Exit::Findings)
            .await?;
        self.is_out_of_the_trap(&swollen, &slim);
        let status = self.agent(&["status"], Exit::Findings).await?;
        self.promise(
            "9001 is protected: what no backup holds is protected by something else",
            posture(&status) == Some("protected"),
        );
        Ok(())
    }

    fn is_out_of_the_trap(&mut self, swollen: &Value, slim: &Value) {
        let out = volume(slim, "films").is_some_and(|proof| {
            at(proof, "/planned/included") == Some(&json!(false))
                && at(proof, "/logged") == Some(&json!(false))
                && at(proof, "/difference") == Some(&Value::Null)
        });
        self.promise(
            "the films are proven to be out",
            out && held(slim, "films") == 0,
        );
        self.promise(
            "the database and the pictures are still in",
            held(slim, "pgdata") >= 2 << 20 && held(slim, "uploads") >= 512 << 10,
        );
        let size = |backup: &Value| backup["size"].as_u64().unwrap_or_default();
        self.promise(
            "the archive is smaller by the films",
            size(slim) > 0 && size(slim) + 2 * FILM <= size(swollen),
        );
    }

    async fn fill_films(&mut self) -> anyhow::Result<()> {
        let fill = |name: &str, seed: u64| {
            let path = format!("{}/_data/{name}", own_directory("films"));
            json!({ "do": "fill", "path": path, "bytes": FILM, "seed": seed })
        };
        self.inside(json!([fill("harvest.mkv", 61), fill("wedding.mkv", 62)]))
            .await?;
        (self.say)("  (somebody puts two films into the volume `films` of 9001)");
        Ok(())
    }

    async fn inside(&mut self, changes: Value) -> anyhow::Result<()> {
        let order = json!({ "vmid": VMID, "changes": changes });
        let done = self.world.control("guest-files", order).await;
        done.map(drop).map_err(anyhow::Error::msg)
    }

    async fn import(&mut self, engine: &Engine) -> anyhow::Result<()> {
        let path = self.directory.join("docker.json");
        std::fs::write(&path, engine.printed())?;
        let path = path.display().to_string();
        let told = ["volumes", "import", "9001", "docker.json"];
        let args = ["volumes", "import", "9001", path.as_str()];
        self.agent_as(&args, &told, Exit::Done).await.map(drop)
    }

    /// Carries one step of a plan out, by what the document says to programs.
    async fn play(&mut self, step: &Value, engine: &mut Engine, old: &str) -> anyhow::Result<()> {
        let text = |key: &str| step[key].as_str().unwrap_or_default();
        if let Some(changes) = file_changes(step) {
            let changed = self.inside(changes).await;
            if text("action") == "compare-trees" {
                self.promise("both copies hold the same, byte for byte", changed.is_ok());
            }
            return changed;
        }
        match text("action") {
            "add-mount" => self.add_mount(step).await,
            // Removed containers are as good as stopped ones until compose makes them anew.
            "stop-containers" | "remove-containers" => {
                engine.set_running(&names(step, "names"), false);
                Ok(())
            }
            "recreate-volume" => {
                let labels = step["labels"].as_object().cloned().unwrap_or_default();
                self.recreate(text("name"), text("device"), &labels, engine)
                    .await
            }
            "start-containers" => {
                engine.set_running(&names(step, "projects"), true);
                engine.set_running(&names(step, "names"), true);
                Ok(())
            }
            "prove" => {
                self.import(engine).await?;
                let run = self.agent(&["backup", "run", "9001"], Exit::Done).await?;
                self.promise(
                    "the new place is out of the backup",
                    held(&run, "films") == 0,
                );
                Ok(())
            }
            "protect-archive" => {
                ensure!(text("volid") == old, "{step} does not name {old}");
                let protect = json!({ "volid": old });
                let done = self.world.control("protect-archive", protect).await;
                done.map(drop).map_err(anyhow::Error::msg)
            }
            other => bail!("nobody knows how to play `{other}`"),
        }
    }

    /// `pct set`, as the step's command has it.
    async fn add_mount(&mut self, step: &Value) -> anyhow::Result<()> {
        let text = |key: &str| step[key].as_str().unwrap_or_default();
        let backup = u8::from(step["backup"] == json!(true));
        let mount = format!(
            "{}:{},mp={},backup={backup}",
            text("storage"),
            step["gib"],
            text("path")
        );
        let order = json!({ "vmid": VMID, "set": { text("key"): mount } });
        let done = self.world.control("pct-set", order).await;
        done.map(drop).map_err(anyhow::Error::msg)
    }

    /// Of a volume that is bound elsewhere Docker keeps its options and an empty directory.
    async fn recreate(
        &mut self,
        name: &str,
        device: &str,
        labels: &Map<String, Value>,
        engine: &mut Engine,
    ) -> anyhow::Result<()> {
        let own = own_directory(name);
        let options = json!({ "MountType": "none", "MountOpts": "bind", "MountDevice": device });
        let changes = json!([
            { "do": "remove", "path": own },
            { "do": "write", "path": format!("{own}/opts.json"), "text": options.to_string() },
            { "do": "mkdir", "path": format!("{own}/_data") },
        ]);
        self.inside(changes).await?;
        engine.recreate(name, device, labels);
        Ok(())
    }
}

/// What a step does to files inside the guest, where it does nothing else.
fn file_changes(step: &Value) -> Option<Value> {
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    let (from, to, path) = (text("from"), text("to"), text("path"));
    Some(match text("action") {
        "prepare-mount" => json!([{ "do": "mkdir", "path": text("data") }]),
        "copy-tree" => json!([{ "do": "copy", "from": from, "to": to }]),
        "compare-trees" => json!([{ "do": "compare", "from": from, "to": to }]),
        "set-aside" => json!([
            { "do": "move", "from": from, "to": to },
            { "do": "mkdir", "path": from },
        ]),
        // The directory itself may be more than the old copy's place.
        "drop-old" if step["emptied"] == json!(true) => json!([
            { "do": "remove", "path": path },
            { "do": "mkdir", "path": path },
        ]),
        "drop-old" => json!([{ "do": "remove", "path": path }]),
        _ => return None,
    })
}

/// Containers by the names of their services; projects by their own.
fn names<'a>(step: &'a Value, key: &str) -> Vec<&'a str> {
    let names = step[key].as_array().into_iter().flatten();
    let service = |name: &'a str| {
        let inner = name.strip_prefix("stack-");
        inner
            .and_then(|name| name.strip_suffix("-1"))
            .unwrap_or(name)
    };
    names.filter_map(Value::as_str).map(service).collect()
}

fn codes(data: &Value) -> Vec<&str> {
    let findings = data["findings"].as_array().into_iter().flatten();
    findings
        .filter_map(|finding| finding["code"].as_str())
        .collect()
}

fn volume<'a>(backup: &'a Value, name: &str) -> Option<&'a Value> {
    let mut volumes = backup["volumes"].as_array()?.iter();
    volumes.find(|proof| at(proof, "/planned/name").and_then(Value::as_str) == Some(name))
}

/// Bytes of a volume that were found in the archive itself.
fn held(backup: &Value, name: &str) -> u64 {
    volume(backup, name)
        .and_then(|proof| at(proof, "/archived/bytes"))
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn posture(status: &Value) -> Option<&str> {
    let guests = status["guests"].as_array()?;
    let guest = guests.iter().find(|guest| guest["vmid"] == VMID)?;
    guest["posture"].as_str()
}
