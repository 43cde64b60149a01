//! Words that more than one command has for the same: what was found, what would be done.

use felhom_engine::Finding;

/// What would be done, then what was found on the way.
pub(super) fn plan_text(plan: &[String], findings: &[Finding]) -> String {
    let mut lines = plan.to_vec();
    lines.extend(findings_text(findings));
    lines.join("\n")
}

/// A line each, and what to do about it.
pub(super) fn findings_text(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!(
            "{}: {}: {} [{}]",
            finding.severity, finding.subject, finding.detail, finding.code
        ));
        if let Some(hint) = &finding.hint {
            lines.push(format!("  hint: {hint}"));
        }
    }
    lines
}

/// What a page of `status` has, and every terminal.
pub(super) const PAGE_WIDTH: usize = 80;
/// What follows of a folded line is set in by so much more than its beginning.
const SET_IN: usize = 2;

/// A line folded between words so that it fits the page; a word that is longer than that is cut where it has to be.
pub(super) fn folded(line: &str) -> Vec<String> {
    if line.chars().count() <= PAGE_WIDTH {
        return vec![line.to_owned()];
    }
    let begin = line.chars().take_while(|c| *c == ' ').count();
    // A remedy is set in already; what follows of anything else is set in behind it.
    let margin = " ".repeat(begin.saturating_add(if begin == 0 { SET_IN } else { 0 }));
    let mut lines = Vec::new();
    let mut open = " ".repeat(begin);
    let mut is_bare = true;
    for word in line.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let room = PAGE_WIDTH.saturating_sub(open.chars().count());
        let needed = word.len().saturating_add(usize::from(!is_bare));
        if needed > room && !is_bare {
            lines.push(std::mem::replace(&mut open, margin.clone()));
            is_bare = true;
        }
        if !is_bare {
            open.push(' ');
        }
        while word.len() > PAGE_WIDTH.saturating_sub(open.chars().count()) {
            let room = PAGE_WIDTH.saturating_sub(open.chars().count()).max(1);
            let rest = word.split_off(room.min(word.len()));
            open.extend(std::mem::replace(&mut word, rest));
            lines.push(std::mem::replace(&mut open, margin.clone()));
        }
        open.extend(word);
        is_bare = false;
    }
    lines.push(open);
    lines
}

/// A name that does not take more than so many columns.
pub(super) fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let begin: String = name.chars().take(most.saturating_sub(1)).collect();
    format!("{begin}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folded_line_is_too_long_and_no_letter_is_lost() {
        let long = "x".repeat(200);
        for line in [
            format!("warning: {long} and {long}"),
            format!("  hint: {}", "word ".repeat(60)),
            format!("{long}{long}"),
            "ä ".repeat(100),
            String::new(),
        ] {
            let lines = folded(&line);
            assert!(
                lines.iter().all(|line| line.chars().count() <= 80),
                "{lines:?}"
            );
            let letters = |text: &str| {
                text.chars()
                    .filter(|c| !c.is_whitespace())
                    .collect::<String>()
            };
            assert_eq!(letters(&lines.concat()), letters(&line));
        }
        assert_eq!(folded("short  as it is"), ["short  as it is"]);
    }

    #[test]
    fn a_name_is_shortened_at_its_end() {
        assert_eq!(shortened("web", 3), "web");
        assert_eq!(shortened("webserver", 4), "web…");
    }
}
