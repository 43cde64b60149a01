//! The transcript in `docs/demo.md` is what the demo really prints, and the README's excerpt is of it: times, sizes and random addresses aside.
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

/// The demo's own, so that the page tells its times.
const SHOWN_SPEED: f64 = 2.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_the_demo_prints() {
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
    let printed = unfolded(&told.join("\n"));
    let shown = unfolded(&parts(&page()).1);
    if let Some((line, (shown, printed))) = shown
        .iter()
        .zip(&printed)
        .enumerate()
        .find(|(_, (shown, printed))| shown != printed)
    {
        panic!(
            "line {} of the transcript:\n  page: {shown}\n  demo: {printed}",
            line + 1
        );
    }
    assert_eq!(
        shown.len(),
        printed.len(),
        "the page's transcript and the demo's differ in length"
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

/// What the README shows is shown by the page as well, in the same order, whatever stands between.
#[test]
fn the_readme_s_excerpt_is_of_the_transcript() {
    let (_, excerpt, _) = parts(&file("README.md"));
    let (_, transcript, _) = parts(&page());
    let told = normalised(&transcript);
    let mut rest = told.iter();
    let excerpt = normalised(&excerpt);
    assert!(excerpt.len() > 20, "{excerpt:?}");
    for line in excerpt
        .iter()
        .filter(|line| !line.is_empty() && *line != "…")
    {
        assert!(
            rest.any(|told| told == line),
            "not in docs/demo.md, or out of order: {line}"
        );
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

fn page() -> PathBuf {
    file("docs/demo.md")
}

/// A page before its transcript, the transcript, and the page behind it.
fn parts(page: &Path) -> (String, String, String) {
    let text = std::fs::read_to_string(page).unwrap();
    let begin = "<!-- transcript -->\n```text\n";
    let (before, behind) = text.split_once(begin).expect("the page has no transcript");
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
    let (before, _, behind) = parts(&page());
    std::fs::write(page(), format!("{before}{told}{behind}")).unwrap();
}

/// What is set in goes on with the line before it: where a line is folded depends on how long its numbers are.
fn unfolded(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (line, words) in text.lines().zip(normalised(text)) {
        match all.last_mut().filter(|last| !last.is_empty()) {
            Some(last) if line.starts_with(' ') => {
                last.push(' ');
                last.push_str(&words);
            }
            Some(_) | None => all.push(words),
        }
    }
    all
}

/// Fingerprints become `x`, numbers `#` (VMIDs stay), units of time `t`, units of size `b`, runs of blanks one.
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
    // Fingerprints, digests and the names of jobs are random, and so is how many digits they have.
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == ':';
    if bare.len() >= 16 && bare.chars().all(is_hex) {
        return word.replace(bare, "x");
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
