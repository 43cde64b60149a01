//! `[notify]` of the configuration.

use super::*;

fn problem(sections: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    parse(directory.path(), sections).unwrap_err().to_string()
}

const NTFY: &str = "[[notify.channels]]\nname = \"phone\"\nkind = \"ntfy\"\n";
const HOOK: &str = "[[notify.channels]]\nname = \"hook\"\nkind = \"webhook\"\n";
const MAIL: &str = "[[notify.channels]]\nname = \"mail\"\nkind = \"smtp\"\n";

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    let mail = format!(
        "{MAIL}server = \"mail.example.org\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n"
    );
    for (sections, says) in [
        (
            "[notify]\nat_least = \"loud\"\n".to_owned(),
            "notify.at_least",
        ),
        (NTFY.replace("phone", "My Phone"), "[0].name"),
        (NTFY.replace("ntfy", "pigeon"), "[0].kind"),
        (NTFY.to_owned(), "[0].url: it is needed"),
        (format!("{NTFY}url = \"https://ntfy.sh\"\n"), "[0].topic"),
        (
            format!("{NTFY}url = \"http://ntfy.sh\"\ntopic = \"x\"\n"),
            "goes to this host only",
        ),
        (
            format!("{NTFY}url = \"https://ntfy.sh\"\ntopic = \"a/b\"\n"),
            "[0].topic",
        ),
        (
            format!("{NTFY}url = \"https://ntfy.sh\"\ntopic = \"x\"\nserver = \"y\"\n"),
            "[0].server",
        ),
        (
            format!("{HOOK}url = \"https://a.example\"\n"),
            "a webhook is signed",
        ),
        (
            format!("{HOOK}url = \"https://a.example\"\nsecret_file = \"s\"\ntopic = \"x\"\n"),
            "[0].topic",
        ),
        (
            format!("{HOOK}url = \"https://a.example\"\nsecret_file = \"s\"\ncredential = \"c\"\n"),
            "not both",
        ),
        (MAIL.to_owned(), "[0].server"),
        (format!("{mail}tls = \"maybe\"\n"), "[0].tls"),
        (format!("{mail}tls = \"none\"\n"), "on this host only"),
        (format!("{mail}user = \"me\"\n"), "belong together"),
        (format!("{mail}secret_file = \"s\"\n"), "belong together"),
        (
            mail.replace("b@example.org", "nobody"),
            "`nobody` is no mail address",
        ),
        (
            mail.replace("[\"b@example.org\"]", "[]"),
            "at least one address",
        ),
        (mail.clone() + &mail, "another channel has it"),
        (
            "[notify.ping]\nalive_file = \"a\"\nalive_credential = \"b\"\n".to_owned(),
            "not both",
        ),
    ] {
        let told = problem(&sections);
        assert!(told.contains(says), "{sections}\n{told}");
    }
}

#[test]
fn an_address_with_a_password_in_it_is_not_repeated() {
    let told = problem(&format!(
        "{NTFY}url = \"https://me:hunter2@ntfy.sh\"\ntopic = \"x\"\n"
    ));
    assert!(
        told.contains("secret_file") && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn what_is_shown_is_read_again_as_the_same() {
    let room = Room::new(
        "[notify]\nat_least = \"critical\"\nremind_after = \"0s\"\nflap = \"2h\"\n\
         [notify.ping]\nalive_file = \"alive\"\nproof_file = \"/etc/felhom/proof\"\n\
         [[notify.channels]]\nname = \"phone\"\nkind = \"ntfy\"\nurl = \"https://ntfy.sh\"\ntopic = \"felhom\"\n\
         secret_file = \"ntfy\"\nca_file = \"ca.pem\"\n\
         [[notify.channels]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"https://a.example:8443/x\"\nsecret_file = \"hook\"\n\
         [[notify.channels]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"mail.example.org\"\n\
         from = \"Box <box@example.org>\"\nto = [\"a@example.org\", \"b@example.org\"]\nuser = \"box\"\nsecret_file = \"mail\"\n",
    );
    assert_eq!(room.config.notify.remind_after, None);
    assert_eq!(room.config.notify.channels.len(), 3);
    let path = room.directory.path().join("agent.json");
    let again = config::parse(&path, &room.config.shown().to_string()).unwrap();
    assert_eq!(again.notify, room.config.notify);
}
