//! Mail: the dialogue with a mail server, on a scripted one.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::receiver::certified;
use super::*;

/// What a mail server can do, and what it refuses.
#[derive(Clone, Default)]
struct Script {
    /// Offered as STARTTLS.
    starttls: Option<TlsAcceptor>,
    /// Spoken from the beginning.
    wrapped: Option<TlsAcceptor>,
    /// Commands by their first word, and the answer they get instead of a good one.
    refuses: Vec<(&'static str, &'static str)>,
}

struct MailServer {
    port: u16,
    /// Every line that it heard in the clear, and every one that was encrypted with a `*` before it.
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MailServer {
    async fn new(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, heard) = (script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Some(tls) = &script.wrapped {
                        let Ok(stream) = tls.accept(stream).await else {
                            return;
                        };
                        talk(stream, &script, &heard, "*", true).await;
                    } else if let Some(stream) = talk(stream, &script, &heard, "", true).await
                        && let Some(tls) = &script.starttls
                        && let Ok(stream) = tls.accept(stream).await
                    {
                        talk(stream, &script, &heard, "*", false).await;
                    }
                });
            }
        });
        Self { port, heard, task }
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// Talks until the client leaves; gives the stream back where it is to be encrypted.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: &Script,
    heard: &Mutex<Vec<String>>,
    mark: &str,
    greets: bool,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 mail.test ESMTP\r\n").await.ok()?;
    }
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        heard.lock().unwrap().push(format!("{mark}{line}"));
        if in_data {
            if line == "." {
                in_data = false;
                stream.write_all(b"250 2.0.0 taken\r\n").await.ok()?;
            }
            continue;
        }
        let word = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_uppercase();
        let refused = script.refuses.iter().find(|(refused, _)| *refused == word);
        let answer = match (refused, word.as_str()) {
            (Some((_, answer)), _) => format!("{answer} {line}"),
            (None, "EHLO") if script.starttls.is_some() && mark.is_empty() => {
                "250-mail.test\r\n250 STARTTLS".to_owned()
            }
            (None, "EHLO") => "250-mail.test\r\n250 AUTH PLAIN LOGIN".to_owned(),
            (None, "STARTTLS") => "220 go".to_owned(),
            (None, "AUTH") => "235 fine".to_owned(),
            (None, "DATA") => {
                in_data = true;
                "354 go".to_owned()
            }
            (None, "QUIT") => "221 bye".to_owned(),
            (None, _) => "250 fine".to_owned(),
        };
        stream
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
        if word == "STARTTLS" && refused.is_none() {
            return Some(stream.into_inner());
        }
    }
}

fn mail(port: u16, rest: &str) -> String {
    format!(
        "[[notify.channels]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"127.0.0.1\"\nport = {port}\n\
         from = \"Box <box@example.org>\"\nto = [\"anna@example.org\", \"Ben <ben@example.org>\"]\n{rest}"
    )
}

/// The header of this name in what was heard.
fn header(heard: &[String], name: &str) -> String {
    let start = format!("{name}: ");
    let mut found = heard
        .iter()
        .filter_map(|line| line.trim_start_matches('*').strip_prefix(&start));
    found
        .next()
        .unwrap_or_else(|| panic!("no {name} in {heard:#?}"))
        .to_owned()
}

#[tokio::test]
async fn a_mail_is_handed_over_with_who_what_and_a_name_that_stays() {
    let server = MailServer::new(Script::default()).await;
    let mut room = Room::new(&mail(server.port, "tls = \"none\"\n"));
    room.config.request_timeout = std::time::Duration::from_secs(20);
    let mut report = failed();
    report.findings[0].detail = "it did not work".to_owned();
    let announced = room.pass(&report, minute(0)).await;
    assert_eq!(announced.channels[0].delivered, 1, "{announced:?}");
    let heard = server.heard();
    for line in [
        "MAIL FROM:<box@example.org>",
        "RCPT TO:<anna@example.org>",
        "RCPT TO:<ben@example.org>",
        "DATA",
        "it did not work",
        "What to do: felhom-agent backup run 101",
    ] {
        assert!(
            heard.iter().any(|one| one.starts_with(line)),
            "{line}: {heard:#?}"
        );
    }
    assert_eq!(header(&heard, "Subject"), "pve: guest 101: backup failed");
    assert_eq!(header(&heard, "From"), "Box <box@example.org>");
    assert_eq!(header(&heard, "Auto-Submitted"), "auto-generated");
    let id = header(&heard, "X-Felhom-Notice");
    assert_eq!(header(&heard, "Message-ID"), format!("<{id}@example.org>"));
    assert!(
        !heard
            .iter()
            .any(|line| line.starts_with("AUTH") || line.starts_with("In-Reply-To"))
    );
    // The end belongs to the same thread.
    room.pass(&well(), minute(100)).await;
    let heard = server.heard();
    assert_eq!(header(&heard, "In-Reply-To"), format!("<{id}@example.org>"));
    assert_eq!(
        header(&heard, "Subject"),
        "pve: over: guest 101: backup failed"
    );
}

#[tokio::test]
async fn a_password_is_said_to_nobody_before_the_connection_is_encrypted() {
    let (tls, pem) = certified();
    for wrapped in [false, true] {
        let script = Script {
            starttls: (!wrapped).then(|| tls.clone()),
            wrapped: wrapped.then(|| tls.clone()),
            ..Script::default()
        };
        let server = MailServer::new(script).await;
        let kind = if wrapped { "tls" } else { "starttls" };
        let sections = mail(
            server.port,
            &format!(
                "tls = \"{kind}\"\nuser = \"box\"\nsecret_file = \"mail\"\nca_file = \"own.pem\"\n"
            ),
        );
        let room = Room::new(&sections);
        std::fs::write(room.directory.path().join("own.pem"), &pem).unwrap();
        let announced = room.pass(&failed(), minute(0)).await;
        assert_eq!(announced.channels[0].delivered, 1, "{kind}: {announced:?}");
        let heard = server.heard();
        assert!(
            heard.iter().any(|line| line.starts_with("*AUTH ")),
            "{heard:#?}"
        );
        let open: Vec<_> = heard.iter().filter(|line| !line.starts_with('*')).collect();
        let least = if wrapped { 0 } else { 2 };
        assert_eq!(
            open.len(),
            least,
            "EHLO and STARTTLS, nothing else: {open:?}"
        );
    }
}

#[tokio::test]
async fn a_mail_server_that_is_not_trusted_or_does_not_encrypt_gets_nothing() {
    let (tls, _) = certified();
    let (_, other) = certified();
    let without = MailServer::new(Script::default()).await;
    let stranger = MailServer::new(Script {
        starttls: Some(tls.clone()),
        ..Script::default()
    })
    .await;
    let wrapped = MailServer::new(Script {
        wrapped: Some(tls),
        ..Script::default()
    })
    .await;
    for (server, kind) in [
        (&without, "starttls"),
        (&stranger, "starttls"),
        (&wrapped, "tls"),
    ] {
        let sections = mail(
            server.port,
            &format!(
                "tls = \"{kind}\"\nuser = \"box\"\nsecret_file = \"mail\"\nca_file = \"other.pem\"\n"
            ),
        );
        let room = Room::new(&sections);
        std::fs::write(room.directory.path().join("other.pem"), &other).unwrap();
        let announced = room.pass(&failed(), minute(0)).await;
        assert_eq!(announced.channels[0].waiting, 1, "{announced:?}");
        let heard = server.heard();
        let said = heard.iter().find(|line| {
            let line = line.trim_start_matches('*');
            line.starts_with("AUTH") || line.starts_with("MAIL")
        });
        assert_eq!(said, None, "{heard:#?}");
    }
}

#[tokio::test]
async fn what_a_mail_server_refuses_is_told_by_its_code_and_never_by_what_it_quotes() {
    for (word, answer, says) in [
        ("AUTH", "535", "answered 535 (user and password"),
        ("MAIL", "451", "answered 451"),
        ("RCPT", "550", "answered 550"),
        ("DATA", "554", "answered 554"),
    ] {
        let script = Script {
            refuses: vec![(word, answer)],
            ..Script::default()
        };
        let server = MailServer::new(script).await;
        let rest = "tls = \"none\"\nuser = \"box\"\nsecret_file = \"mail\"\n";
        let room = Room::new(&mail(server.port, rest));
        let announced = room.pass(&failed(), minute(0)).await;
        let error = announced.channels[0].error.clone().unwrap();
        assert!(error.contains(says), "{word}: {error}");
        let quoted = server
            .heard()
            .into_iter()
            .find(|line| line.starts_with("AUTH PLAIN"));
        let quoted = quoted.expect("it quotes the password back");
        let password = quoted.rsplit(' ').next().unwrap();
        assert!(
            !error.contains(password) && !error.contains(MAIL_PASSWORD),
            "{error}"
        );
    }
}
