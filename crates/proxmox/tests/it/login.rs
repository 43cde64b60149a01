//! Logging in by password and second factor, and what a ticket's requests carry.

use std::time::Duration;

use felhom_proxmox::pve::identities::{self, Change, Door, Login};
use felhom_proxmox::{Client, Error, Pve, Settings, Trust};
use secrecy::SecretString;

use crate::scripted::{Reply, Scripted, json, node, ok};

const PASSWORD: &str = "pass&word=1; 2%";
const CHALLENGE: &str = "PVE:!tfa!%7B%22totp%22%3Atrue%7D:6A::si+g/n=";
const TICKET: &str = "PVE:root@pam:6A::ti+ck/et=";

/// Asks for a second factor, and lets in with the right one.
fn answer(request: &str) -> Reply {
    if !request.starts_with("POST /api2/json/access/ticket ") {
        return ok(r#"{"data":null}"#);
    }
    let body = request.rsplit("\r\n").next().unwrap_or_default();
    let text = match (
        body.contains("tfa-challenge="),
        body.contains("totp%3A123456"),
    ) {
        (false, _) => format!(
            r#"{{"data":{{"username":"root@pam","NeedTFA":1,"ticket":"{CHALLENGE}","CSRFPreventionToken":"6A:no"}}}}"#
        ),
        (true, true) => format!(
            r#"{{"data":{{"username":"root@pam","ticket":"{TICKET}","CSRFPreventionToken":"6A:cs/rf+"}}}}"#
        ),
        (true, false) => {
            let body = r#"{"data":null,"message":"authentication failure\n"}"#;
            return Reply::SendAndClose(json(401, "authentication failure", body));
        }
    };
    ok(&text)
}

pub(crate) async fn ask(factor: &str) -> (Scripted, Door, Result<Login, Error>) {
    let server = Scripted::start(answer).await;
    let door = Door {
        address: server.address.clone(),
        trust: Trust::PinnedLeaf(server.fingerprint),
        timeout: Duration::from_secs(5),
    };
    let user = "root@pam".parse().unwrap();
    let password = SecretString::from(PASSWORD);
    let first = identities::login(&door, &user, &password).await.unwrap();
    let Login::SecondFactor(challenge) = first else {
        panic!("no challenge: {first:?}")
    };
    let factor = SecretString::from(factor);
    let second = identities::answer_challenge(&door, &user, &challenge, &factor).await;
    (server, door, second)
}

#[tokio::test]
async fn a_second_factor_is_given_when_it_is_asked_for() {
    let (server, door, login) = ask("totp:123456").await;
    let Login::Ticket(ticket) = login.unwrap() else {
        panic!("no ticket")
    };
    assert!(!format!("{ticket:?}").contains("ti+ck"));
    let pve = Pve::new(
        Client::new(Settings::new(door.address, ticket, door.trust)).unwrap(),
        node(),
    );
    pve.call(&Change::DeleteRole("R".to_owned())).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    for request in &seen[..2] {
        let head = request.to_lowercase();
        assert!(!head.contains("cookie:") && !head.contains("authorization:"));
    }
    assert!(seen[0].ends_with("username=root%40pam&password=pass%26word%3D1%3B%202%25"));
    let head = seen[2].to_lowercase();
    assert!(head.contains("cookie: pveauthcookie=pve%3aroot%40pam%3a6a%3a%3ati%2bck%2fet%3d\r\n"));
    assert!(head.contains("csrfpreventiontoken: 6a:cs/rf+\r\n"));
    assert!(!head.contains("authorization:"));
}

#[tokio::test]
async fn a_wrong_second_factor_is_no_login() {
    let (_server, _door, login) = ask("totp:000000").await;
    let error = login.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(!format!("{error:?}").contains("000000"));
}
