//! `trust repin`: another certificate is taken only after somebody has named what is really seen.

use std::os::unix::fs::PermissionsExt;

use super::{assert_untouched, refused};
use crate::support::*;

/// Wrongly pinned, with comments around the pin; returns the file's text and the right pin.
async fn wrongly_pinned() -> (Bench, String, String) {
    let bench = Bench::new().await;
    let seen = bench.world.fingerprint();
    let other = "0F:".repeat(31) + "0F";
    bench.reconfigure(|text| {
        text.replace(
            &format!("fingerprint = \"{seen}\""),
            &format!(
                "# fingerprint = \"of last year\"\n  fingerprint = \"{other}\" # 2026-11, by Eva"
            ),
        )
    });
    std::fs::set_permissions(&bench.config, std::fs::Permissions::from_mode(0o640)).unwrap();
    let text = std::fs::read_to_string(&bench.config).unwrap();
    assert!(text.contains(&other));
    (bench, text, seen)
}

fn text(bench: &Bench) -> String {
    std::fs::read_to_string(&bench.config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_without_naming_what_is_seen() {
    let (bench, before, seen) = wrongly_pinned().await;
    let told = refused(&bench, &["trust", "repin"]).await;
    told.says(4, &[&seen, &("0F:".repeat(31) + "0F")]);
    assert!(told.hint().contains("openssl x509"), "{}", told.error);
    assert!(
        told.hint().contains(&format!("--accept {seen}")),
        "{}",
        told.error
    );
    let wrong = "AA:".repeat(31) + "AA";
    refused(&bench, &["trust", "repin", "--accept", &wrong])
        .await
        .says(7, &[&seen, "not what you accepted"]);
    refused(&bench, &["trust", "repin", "--accept", "AA"])
        .await
        .says(2, &["--accept"]);
    let dry = bench
        .program(&["trust", "repin", "--accept", &seen, "--dry-run"], "")
        .await;
    assert_eq!(dry.exit, Some(0), "{dry:?}");
    assert!(dry.stdout.contains("would be pinned"), "{dry:?}");
    assert_eq!(text(&bench), before);
    let shown = bench.program(&["trust", "show"], "").await;
    assert_eq!(shown.exit, Some(7));
    assert!(shown.stdout.contains("ANOTHER CERTIFICATE") && shown.stdout.contains(&seen));
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_replaces_the_pin_and_nothing_else() {
    let (bench, before, seen) = wrongly_pinned().await;
    // Both writings of a fingerprint are one.
    let typed = seen.replace(':', "").to_lowercase();
    let ran = bench
        .program(&["trust", "repin", "--accept", &typed], "")
        .await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
    assert_eq!(
        text(&bench),
        before.replace(&("0F:".repeat(31) + "0F"), &seen)
    );
    let mode = std::fs::metadata(&bench.config)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let beside: Vec<_> = std::fs::read_dir(bench.config.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("agent."))
        .collect();
    assert_eq!(beside, ["agent.toml"], "nothing is left beside it");

    assert_eq!(bench.program(&["trust", "show"], "").await.exit, Some(0));
    assert_eq!(bench.program(&["guests"], "").await.exit, Some(0));
    let again = bench.program(&["trust", "repin", "--json"], "").await;
    assert_eq!(
        (again.exit, &again.json()["data"]["changed"]),
        (Some(0), &false.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_without_a_pin_has_nothing_to_repin() {
    let bench = Bench::new().await;
    let seen = bench.world.fingerprint();
    bench.reconfigure(|text| text.replace(&format!("fingerprint = \"{seen}\""), "insecure = true"));
    refused(&bench, &["trust", "repin", "--accept", &seen])
        .await
        .says(4, &["does not pin"]);
    // It works, and warns at every start, though nobody asked for more logging.
    let ran = bench.program(&["guests"], "").await;
    assert_eq!(ran.exit, Some(0));
    assert!(
        ran.stderr.contains("TLS verification is switched off"),
        "{ran:?}"
    );
}
