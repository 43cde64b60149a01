//! What a person reads off the page: which lines are to be typed, and which words the shell makes of them.

use std::io::Write;
use std::process::{Output, Stdio};

use super::sample;
use super::site::Lost;

/// What is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    /// Words, as the shell reads them.
    Line(Vec<String>),
    /// A file that `cat` writes.
    File { path: String, text: String },
}

/// What stands on a page to be typed, by the rules that stand at its head.
pub(super) fn typed(page: &str) -> Result<Vec<Typed>, String> {
    let (mut all, mut lines) = (Vec::new(), page.lines());
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("    ") else {
            continue;
        };
        let mut whole = first.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            whole.push_str(lines.next().ok_or("the page ends within a line")?);
        }
        let words = words(&whole)?;
        let [cat, to, path, from, end] = words.as_slice() else {
            all.push(Typed::Line(words));
            continue;
        };
        if [cat, to, from, end].map(String::as_str) != ["cat", ">", "<<", "EOF"] {
            all.push(Typed::Line(words));
            continue;
        }
        let mut text = String::new();
        loop {
            match lines.next() {
                None => return Err("the page ends within a file".into()),
                Some("EOF") => break,
                Some(line) => text.extend([line, "\n"]),
            }
        }
        let path = path.clone();
        all.push(Typed::File { path, text });
    }
    Ok(all)
}

/// The words of a line, as `bash` reads them; what joins and redirects is a word of its own.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut all, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    let open = || format!("a quote is open: {line}");
    while let Some(c) = chars.next() {
        match c {
            ' ' if begun => {
                all.push(std::mem::take(&mut word));
                begun = false;
            }
            ' ' => {}
            '<' if chars.peek() == Some(&'<') => {
                chars.next();
                all.push("<<".to_owned());
            }
            '\'' => {
                begun = true;
                loop {
                    match chars.next().ok_or_else(open)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                begun = true;
                loop {
                    match chars.next().ok_or_else(open)? {
                        '\'' => break,
                        '\\' => word.push(match chars.next().ok_or_else(open)? {
                            'n' => '\n',
                            't' => '\t',
                            c => c,
                        }),
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                begun = true;
                word.push(chars.next().ok_or_else(open)?);
            }
            '"' | '$' | '`' | ';' | '&' | '*' | '?' => {
                return Err(format!("the shell makes something else of it: {line}"));
            }
            c => {
                begun = true;
                word.push(c);
            }
        }
    }
    if begun {
        all.push(word);
    }
    Ok(all)
}

/// What is typed, to the letter: one command each, with the file that it reads.
fn raw(page: &str) -> Vec<String> {
    let (mut all, mut lines) = (Vec::new(), page.lines());
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("    ") else {
            continue;
        };
        let mut text = format!("{first}\n");
        while text.ends_with("\\\n") {
            text.extend([lines.next().unwrap(), "\n"]);
        }
        while text.contains("<<'EOF'\n") && !text.ends_with("\nEOF\n") {
            text.extend([lines.next().unwrap(), "\n"]);
        }
        all.push(text);
    }
    all
}

/// Gives a script to `bash`; none where there is no `bash`.
#[expect(clippy::disallowed_types, reason = "a test may start a program")]
fn bash(options: &[&str], script: &str) -> Option<Output> {
    let mut shell = std::process::Command::new("bash");
    shell.args(["--norc", "--noprofile"]).args(options);
    let piped = shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match piped.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("bash: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    Some(child.wait_with_output().unwrap())
}

/// `bash` accepts each command, and reads the words that were read here; false where there is no `bash`.
fn is_read_alike(page: &str) -> bool {
    let (raw, typed) = (raw(page), typed(page).unwrap());
    assert_eq!(raw.len(), typed.len(), "{page}");
    assert!(raw.len() > 10, "{page}");
    for (text, typed) in raw.iter().zip(&typed) {
        let Some(done) = bash(&["-n"], text) else {
            return false;
        };
        // What it finds wrong is said there even where it goes on.
        assert!(
            done.status.success() && done.stderr.is_empty(),
            "{text}: {done:?}"
        );
        let (script, wanted) = match typed {
            Typed::File { text: file, .. } => {
                let (_, rest) = text.split_once('\n').unwrap();
                (format!("cat <<'EOF'\n{rest}"), file.clone())
            }
            Typed::Line(words) => {
                let first = words.split(|word| word == "||").next().unwrap();
                let wanted = first
                    .iter()
                    .flat_map(|word| [word.as_str(), "\0"])
                    .collect();
                (format!("printf '%s\\0' {text}"), wanted)
            }
        };
        let done = bash(&[], &script).unwrap();
        assert!(
            done.status.success() && done.stderr.is_empty(),
            "{text}: {done:?}"
        );
        assert_eq!(String::from_utf8(done.stdout).unwrap(), wanted, "{text}");
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bash_accepts_every_command_and_reads_the_same_words() {
    const NAME: &str = "bash_accepts_every_command_and_reads_the_same_words";
    let lost = Lost::new().await;
    let pages = [lost.page.clone(), sample::awkward()];
    if !pages.iter().all(|page| is_read_alike(page)) {
        crate::scene::tell(&format!("skipped: {NAME}: no bash"));
    }
}

#[test]
fn bash_would_notice_what_is_no_command() {
    let Some(done) = bash(&["-n"], "pct set 101 --hostname 'open\n") else {
        crate::scene::tell("skipped: bash_would_notice_what_is_no_command: no bash");
        return;
    };
    assert!(
        !done.status.success() || !done.stderr.is_empty(),
        "{done:?}"
    );
}
