//! Foreign text in an error: short, and unable to move a cursor.

/// How much of a foreign text is repeated; the rest helps nobody read it.
const SHOWN: usize = 120;

/// The beginning of a text, its control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(SHOWN) {
        // `escape_debug` escapes quotes too, which are harmless and common.
        if matches!(c, '"' | '\'') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_is_cut_and_cannot_move_the_cursor() {
        assert_eq!(shown("plain \"x\""), "plain \"x\"");
        assert_eq!(shown("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&"é".repeat(500)).chars().count(), SHOWN + 1);
    }
}
