//! The kit on paper: plain text, eighty columns.

use felhom_engine::Timestamp;
use felhom_protocol::kit::{Kit, KitFile, KitPart, KitServer};

use super::shell::{fold, word};
use crate::clock;
use crate::output::printable;

const WIDTH: usize = 80;
/// Before what is to be typed, and before nothing else.
const TYPED: &str = "    ";

/// A day and an hour, the same in every time zone.
pub(super) fn date(seconds: i64) -> String {
    clock::utc(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// The page.
pub fn page(kit: &Kit) -> String {
    let mut lines = head(kit);
    for (place, step) in kit.steps.iter().enumerate() {
        let number = place.saturating_add(1);
        lines.push(String::new());
        lines.extend(wrap(&format!("STEP {number}  {}", step.title), ""));
        lines.push("-".repeat(WIDTH));
        let mut typed = false;
        for part in &step.parts {
            let is_typed = matches!(part, KitPart::Type(_) | KitPart::File(_));
            if is_typed != typed {
                lines.push(String::new());
            }
            typed = is_typed;
            lines.extend(shown(part));
        }
    }
    lines.push(String::new());
    lines.push("THIS PAGE IS OLD, and has to be printed anew, when".to_owned());
    lines.push("-".repeat(WIDTH));
    for reason in &kit.stale_when {
        lines.extend(wrap(reason, "- "));
    }
    lines.extend(kit.files.iter().flat_map(compared));
    let mut text = printable(&lines.join("\n"));
    text.push('\n');
    text
}

fn head(kit: &Kit) -> Vec<String> {
    let mut lines = vec![
        format!("HOW TO REBUILD {}", kit.node.name),
        "=".repeat(WIDTH),
        format!(
            "Made {} UTC by felhom-agent {}.",
            date(kit.made_s),
            kit.agent_version
        ),
    ];
    if let Some(installation) = &kit.installation {
        lines.extend(wrap(&format!("Installation {installation}."), ""));
    }
    lines.extend(wrap(
        "Nothing but a new Proxmox VE is needed. Lines that begin with four blanks are typed, as root, one after the other. \
         One that ends with \\ goes on in the next line, which is typed as it stands, from its very beginning. What stands \
         between a line with <<'EOF' and EOF goes into a file. Lines with !! say what lacks.",
        "",
    ));
    lines.push(String::new());
    if let Some(fingerprint) = &kit.node.fingerprint {
        lines.extend(wrap(
            &format!("Certificate of the old box (the new one has another): {fingerprint}"),
            "",
        ));
    }
    lines.extend(kit.servers.iter().flat_map(server));
    if !kit.gaps.is_empty() {
        lines.push(String::new());
        lines.push("WHAT THIS PAGE CANNOT DO".to_owned());
        lines.push("-".repeat(WIDTH));
        for gap in &kit.gaps {
            lines.extend(wrap(gap, "!! "));
        }
    }
    lines.push(String::new());
    lines.push("GUESTS, in the order in which they come back".to_owned());
    lines.push("-".repeat(WIDTH));
    for guest in &kit.guests {
        let archive = match &guest.archive {
            Some(archive) => format!("{} of {}", archive.volid, date(archive.made_s)),
            None => "NO ARCHIVE".to_owned(),
        };
        lines.extend(wrap(
            &format!("{} {} ({}): {archive}", guest.vmid, guest.name, guest.kind),
            "- ",
        ));
    }
    lines
}

fn server(server: &KitServer) -> Vec<String> {
    let mut said = format!(
        "Backup server {}, datastore {}",
        server.server, server.datastore
    );
    if !server.namespace.is_empty() {
        said.extend([format!(", namespace {}", server.namespace)]);
    }
    if let Some(fingerprint) = &server.fingerprint {
        said.extend([format!(", certificate {fingerprint}")]);
    }
    if let Some(key) = &server.key {
        let stored = server
            .key_stored
            .as_deref()
            .unwrap_or("NOBODY SAID WHERE IT IS KEPT");
        said.extend([format!(", key {key} ({stored})")]);
    }
    wrap(&format!("{said}."), "")
}

fn shown(part: &KitPart) -> Vec<String> {
    match part {
        KitPart::Say(text) => wrap(text, ""),
        KitPart::Warn(text) => wrap(text, "!! "),
        KitPart::Type(command) => fold(command, TYPED, WIDTH),
        KitPart::File(file) => {
            let mut lines = fold(&format!("cat > {} <<'EOF'", word(&file.path)), TYPED, WIDTH);
            lines.extend(file.text.lines().map(str::to_owned));
            lines.push("EOF".to_owned());
            lines
        }
    }
}

/// What the old box's files said; with another margin than what is typed.
fn compared(file: &KitFile) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("TO COMPARE, NOT TO TYPE: {} of the old box", file.path),
        "-".repeat(WIDTH),
    ];
    for line in file.text.lines() {
        let line = line.replace('\t', "  ");
        lines.extend(pieces(&format!("| {line}"), "|     "));
    }
    lines
}

/// A line cut to the width, what is left of it behind another beginning.
fn pieces(line: &str, more: &str) -> Vec<String> {
    let (mut all, mut current) = (Vec::new(), String::new());
    for c in line.chars() {
        if current.chars().count() >= WIDTH {
            all.push(std::mem::replace(&mut current, more.to_owned()));
        }
        current.push(c);
    }
    all.push(current);
    all
}

/// A sentence in lines, the first behind a mark and the others as far in.
fn wrap(text: &str, mark: &str) -> Vec<String> {
    let inside = " ".repeat(mark.chars().count());
    let (mut lines, mut line, mut is_bare) = (Vec::new(), mark.to_owned(), true);
    for word in text.split_whitespace() {
        let needed = line.chars().count().saturating_add(word.chars().count());
        if !is_bare && needed.saturating_add(1) > WIDTH {
            lines.push(std::mem::replace(&mut line, inside.clone()));
            is_bare = true;
        }
        if !is_bare {
            line.push(' ');
        }
        is_bare = false;
        for c in word.chars() {
            if line.chars().count() >= WIDTH {
                lines.push(std::mem::replace(&mut line, inside.clone()));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}
