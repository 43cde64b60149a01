//! UPIDs, from the API and from the command line.

use felhom_ids::Upid;

use crate::claims::{beginnings, keeps_its_text, short_line, text};

/// A UPID is its own text, and each of its fields is a field of that text; nothing that only looks like one is taken.
pub fn upid(data: &[u8]) {
    let text = text(data);
    let Some(upid) = keeps_its_text::<Upid>(&text) else {
        return;
    };
    assert_eq!(upid.as_str(), text);
    let fields: Vec<&str> = text.split(':').collect();
    let (task_id, numbers, words) = match fields.as_slice() {
        ["UPID", node, pid, pstart, start, kind, id, user, ""] => {
            assert_eq!(upid.subject(), upid.id());
            // Such a text cannot be cut without anybody noticing; that of a backup server has a field to lose.
            for beginning in beginnings(text.as_bytes()) {
                let beginning = String::from_utf8_lossy(beginning);
                assert!(beginning.parse::<Upid>().is_err(), "{beginning:?}");
            }
            (None, [*pid, *pstart, *start], [*node, *kind, *id, *user])
        }
        ["UPID", node, pid, pstart, task, start, kind, id, user, ""] => (
            Some(number(task)),
            [*pid, *pstart, *start],
            [*node, *kind, *id, *user],
        ),
        other => panic!("taken for a UPID: {other:?}"),
    };
    assert_eq!(upid.task_id(), task_id);
    let read = [upid.pid().into(), upid.pstart(), upid.starttime().into()];
    assert_eq!(read, numbers.map(number));
    let read = [upid.node().as_str(), upid.kind(), upid.id(), upid.user()];
    assert_eq!(read, words);
    for word in words {
        let separates = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        assert!(!word.contains(separates), "{word:?}");
    }
    assert!(!upid.kind().is_empty() && !upid.user().is_empty());
    // A byte that is no UTF-8 becomes a character of three.
    assert!(upid.subject().len() <= 3 * upid.id().len());
    if let Some(token) = upid.token() {
        assert_eq!(token.to_string(), upid.user());
    }
    for odd in [format!("{text}\n"), format!(" {text}"), format!("{text}:")] {
        let refused = odd.parse::<Upid>().unwrap_err();
        short_line(&refused.to_string());
    }
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap()
}
