//! Words and lines of root's shell.

/// A word of the shell. One with line ends or other controls is written in the way that `bash` reads them.
pub(super) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        let inner: String = text.chars().map(escaped).collect();
        return format!("$'{inner}'");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn escaped(c: char) -> String {
    match c {
        '\n' => r"\n".to_owned(),
        '\t' => r"\t".to_owned(),
        '\'' => r"\'".to_owned(),
        '\\' => r"\\".to_owned(),
        c if c.is_control() => format!(r"\u{:04x}", u32::from(c)),
        c => c.to_string(),
    }
}

/// A command of words that need quotes, or do not.
pub(super) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The words of a command, each with the quotes that it is written in.
fn words(command: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted, mut dollar) = (Vec::new(), String::new(), false, false);
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        if c == ' ' && !quoted {
            if !word.is_empty() {
                all.push(std::mem::take(&mut word));
            }
            continue;
        }
        if c == '\'' {
            dollar = !quoted && word.ends_with('$');
            quoted = !quoted;
        }
        word.push(c);
        if c == '\\'
            && (!quoted || dollar)
            && let Some(next) = chars.next()
        {
            word.push(next);
        }
    }
    if !word.is_empty() {
        all.push(word);
    }
    all
}

/// A command over as many lines as it takes, each ended by a backslash but the last. A word that is longer than a line goes on
/// at the very beginning of the next: the shell puts the parts together again.
pub(crate) fn fold(command: &str, indent: &str, width: usize) -> Vec<String> {
    let room = width.saturating_sub(2);
    let deeper = format!("{indent}  ");
    let (mut lines, mut line) = (Vec::new(), indent.to_owned());
    let mut is_bare = true;
    for word in words(command) {
        let needed = line
            .chars()
            .count()
            .saturating_add(usize::from(!is_bare))
            .saturating_add(word.chars().count());
        if needed > room && !is_bare {
            lines.push(format!("{line} \\"));
            line.clone_from(&deeper);
            is_bare = true;
        }
        if !is_bare {
            line.push(' ');
        }
        is_bare = false;
        let left = room.saturating_sub(line.chars().count());
        let mut parts = broken(&word, left, room).into_iter();
        line.push_str(&parts.next().unwrap_or_default());
        for part in parts {
            lines.push(format!("{line}\\"));
            line = part;
        }
    }
    lines.push(line);
    lines
}

/// A word in parts that fit; in one where it cannot be broken.
fn broken(word: &str, first: usize, others: usize) -> Vec<String> {
    if word.chars().count() <= first {
        return vec![word.to_owned()];
    }
    let inner = word
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    match inner {
        Some(inner) if !inner.contains('\'') => {
            let parts = chunks(inner, first.saturating_sub(2), others.saturating_sub(2));
            parts.iter().map(|part| format!("'{part}'")).collect()
        }
        None if !word.contains(['\'', '\\', '$']) => chunks(word, first, others),
        Some(_) | None => vec![word.to_owned()],
    }
}

fn chunks(text: &str, first: usize, others: usize) -> Vec<String> {
    let (mut all, mut part, mut room) = (Vec::new(), String::new(), first.max(1));
    for c in text.chars() {
        if part.chars().count() >= room {
            all.push(std::mem::take(&mut part));
            room = others.max(1);
        }
        part.push(c);
    }
    all.push(part);
    all
}
