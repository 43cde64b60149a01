//! The README's transcript is what the demo really prints: times, sizes and random addresses aside.
//!
//! After a change of what is printed, `FELHOM_TRANSCRIPT=write cargo test -p felhom-demo --test transcript` writes it anew.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may fail loudly"
)]

use std::path::{Path, PathBuf};

use felhom_demo::story;

/// Simulated time of the test: fast, but slow enough that a task that is told to stop can clean up.
const SPEED: f64 = 4.0;

/// The demo's own, so that the README tells its times.
const SHOWN_SPEED: f64 = 2.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_shows_what_the_demo_prints() {
    let writing = std::env::var_os("FELHOM_TRANSCRIPT").is_some_and(|word| word == "write");
    let speed = if writing { SHOWN_SPEED } else { SPEED };
    let directory = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let story = story::tell(directory.path(), speed, &mut |line| {
        told.push(line.to_owned());
    })
    .await
    .unwrap();
    assert!(
        story.as_promised,
        "a promise was broken:\n{}",
        told.join("\n")
    );

    if writing {
        write(&told.join("\n"));
    }
    let printed = normalised(&told.join("\n"));
    let shown = normalised(&parts().1);
    if let Some((line, (shown, printed))) = shown
        .iter()
        .zip(&printed)
        .enumerate()
        .find(|(_, (shown, printed))| shown != printed)
    {
        panic!(
            "line {} of the transcript:\n  README: {shown}\n  demo:   {printed}",
            line + 1
        );
    }
    assert_eq!(
        shown.len(),
        printed.len(),
        "the README's transcript and the demo's differ in length"
    );

    let chapters = story.document["data"]["chapters"].as_array().unwrap();
    assert!(chapters.len() > 10, "--json tells the whole story");
    let text = story.document.to_string();
    for fact in [
        "\"verdict\":\"passed\"",
        "\"verdict\":\"failed\"",
        "\"verdict\":\"error\"",
        "\"level\":\"booted\"",
    ] {
        assert!(text.contains(fact), "{fact}");
    }
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// The README before its transcript, the transcript, and the README behind it.
fn parts() -> (String, String, String) {
    let readme = std::fs::read_to_string(readme()).unwrap();
    let begin = "<!-- transcript -->\n```text\n";
    let (before, behind) = readme
        .split_once(begin)
        .expect("the README has no transcript");
    let (transcript, rest) = behind
        .split_once("\n```")
        .expect("the transcript has no end");
    (
        format!("{before}{begin}"),
        transcript.to_owned(),
        format!("\n```{rest}"),
    )
}

fn write(told: &str) {
    let (before, _, behind) = parts();
    std::fs::write(readme(), format!("{before}{told}{behind}")).unwrap();
}

/// Numbers become `#` (VMIDs stay), units of time `t`, units of size `b`, runs of blanks one.
fn normalised(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            line.split_whitespace()
                .map(word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if ["s", "ms", "min", "h", "d"].contains(&bare) {
        return word.replace(bare, "t");
    }
    if ["B", "KiB", "MiB", "GiB"].contains(&bare) {
        return word.replace(bare, "b");
    }
    let mut out = String::new();
    let mut digits = String::new();
    for c in word.chars().chain(['\0']) {
        let joins = c == '.' && !digits.is_empty();
        if c.is_ascii_digit() || joins {
            digits.push(c);
            continue;
        }
        flush(&mut out, &mut digits);
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

fn flush(out: &mut String, digits: &mut String) {
    let number = digits.trim_end_matches('.');
    if ["9000", "9001", "9010", "9100"].contains(&number) {
        out.push_str(number);
    } else if !number.is_empty() {
        out.push('#');
    }
    out.push_str(digits.get(number.len()..).unwrap_or_default());
    digits.clear();
}
