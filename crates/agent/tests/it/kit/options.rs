//! What is typed is what Proxmox documents: each option of each command is a parameter of the published API.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::site::{Lost, typed_on_a_new_box};

const NAME: &str = "every_option_that_is_typed_is_documented";

/// The folder with Proxmox's own material, which is not ours to pass on (CONTRIBUTING.md).
fn facts() -> Option<PathBuf> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/facts"));
    let mut folders = named.into_iter().chain(above);
    folders.find(|folder| folder.join("pve-apidoc-9.2.json").is_file())
}

/// A path of the API's tree; what stands in braces there is called differently from path to path.
fn method<'a>(tree: &'a Value, path: &str, verb: &str) -> Option<&'a Value> {
    let nodes = tree.as_array().or_else(|| tree["children"].as_array())?;
    nodes.iter().find_map(|node| {
        let known = node["path"].as_str().unwrap_or_default();
        let alike = known.split('/').count() == path.split('/').count()
            && known
                .split('/')
                .zip(path.split('/'))
                .all(|(known, asked)| known == asked || known.starts_with('{'));
        let found = alike
            .then(|| &node["info"][verb])
            .filter(|found| found.is_object());
        found.or_else(|| method(&node["children"], path, verb))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_option_that_is_typed_is_documented() {
    let Some(facts) = facts() else {
        crate::scene::tell(&format!(
            "skipped: {NAME}: no pve-apidoc-9.2.json (FELHOM_FACTS names its folder)"
        ));
        return;
    };
    let text = std::fs::read(facts.join("pve-apidoc-9.2.json")).unwrap();
    let tree: Value = serde_json::from_slice(&text).unwrap();
    let lost = Lost::new().await;
    let asked = typed_on_a_new_box(&lost, &lost.page).await.unwrap();
    assert!(asked.len() > 30, "{asked:?}");
    for (verb, path, key) in asked {
        let found = method(&tree, &path, &verb).unwrap_or_else(|| panic!("no {verb} {path}"));
        let documented = &found["parameters"]["properties"];
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_known =
            documented.get(&key).is_some() || documented.get(format!("{stem}[n]")).is_some();
        assert!(is_known, "{verb} {path} has no parameter `{key}`");
    }
}
