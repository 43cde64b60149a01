//! Whom the client believes, and that it says nothing to anybody else.

use std::time::Duration;

use felhom_ids::Fingerprint;
use felhom_proxmox::{Client, Delivery, Error, Settings, Trust, fetch_leaf, leaf_of_pem};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::scripted::{Identity, SECRET, Scripted, node, ok, settings};

const VERSION: &str =
    r#"{"data":{"version":"9.2.11","release":"9.2","repoid":"14a22df35955d97d"}}"#;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn trust(&self) -> Trust {
        Trust::CaFile(self.pem.clone())
    }

    fn issue(&self, name: &str) -> Identity {
        Identity::made(&[name], |_| {}, Some(&self.issuer))
    }
}

async fn server(identity: Identity) -> Scripted {
    Scripted::with_identity(identity, |_| ok(VERSION)).await
}

async fn version(settings: Settings) -> Result<String, Error> {
    let pve = felhom_proxmox::Pve::new(Client::new(settings)?, node());
    pve.version().await.map(|version| version.release)
}

fn expire(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
}

/// Refused during the handshake: no request, and with it no token, has left.
fn assert_refused(server: &Scripted, result: &Result<String, Error>) {
    let error = result.as_ref().unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    assert!(server.seen().is_empty());
    assert!(!format!("{error:?}{error}").contains(SECRET));
}

#[tokio::test]
async fn the_right_pin_is_enough() {
    // Names and dates do not matter: the pin is the trust.
    let server = server(Identity::self_signed(&["somewhere-else.example"])).await;
    let trust = Trust::PinnedLeaf(server.fingerprint);
    assert_eq!(version(server.settings(trust)).await.unwrap(), "9.2");
    let request = server.seen().remove(0);
    assert!(
        request.starts_with("GET /api2/json/version HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains(&format!(
        "authorization: PVEAPIToken=felhom-agent@pve!agent={SECRET}\r\n"
    )));
    assert!(!request.contains("accept-encoding"));
}

#[tokio::test]
async fn a_wrong_pin_shows_both_fingerprints_and_the_way_out() {
    let server = server(Identity::self_signed(&["localhost"])).await;
    let expected = Fingerprint::from_bytes([7; 32]);
    let result = version(server.settings(Trust::PinnedLeaf(expected))).await;
    assert_refused(&server, &result);
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::PinMismatch { seen, .. } if *seen == server.fingerprint));
    let text = error.to_string();
    for part in [
        expected.to_string(),
        server.fingerprint.to_string(),
        "trust repin".to_owned(),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_pinned_certificate_without_its_key_is_refused() {
    let real = Identity::self_signed(&["localhost"]);
    let thief = Identity {
        key: Identity::self_signed(&["x"]).key,
        certificate: real.certificate,
    };
    let server = server(thief).await;
    let result = version(server.settings(Trust::PinnedLeaf(server.fingerprint))).await;
    assert_refused(&server, &result);
    assert!(matches!(result, Err(Error::Tls { .. })), "{result:?}");
}

#[tokio::test]
async fn a_ca_vouches_for_the_right_name() {
    let authority = Authority::new();
    let server = server(authority.issue("127.0.0.1")).await;
    assert_eq!(
        version(server.settings(authority.trust())).await.unwrap(),
        "9.2"
    );
}

#[tokio::test]
async fn a_ca_does_not_vouch_for_another_name() {
    let authority = Authority::new();
    let server = server(authority.issue("other.example")).await;
    let result = version(server.settings(authority.trust())).await;
    assert_refused(&server, &result);
    let error = result.unwrap_err();
    assert!(error.hint().unwrap().contains("another name"), "{error:?}");
}

#[tokio::test]
async fn a_ca_does_not_vouch_for_strangers_pinned_or_not() {
    let server = server(Identity::self_signed(&["127.0.0.1"])).await;
    let result = version(server.settings(Authority::new().trust())).await;
    assert_refused(&server, &result);
}

#[tokio::test]
async fn an_expired_certificate_is_fine_under_a_pin_only() {
    let authority = Authority::new();
    let expired = Identity::made(&["127.0.0.1"], expire, Some(&authority.issuer));
    let server = server(expired).await;
    let result = version(server.settings(authority.trust())).await;
    assert_refused(&server, &result);
    assert!(result.unwrap_err().hint().unwrap().contains("expired"));
    let pinned = version(server.settings(Trust::PinnedLeaf(server.fingerprint))).await;
    assert_eq!(pinned.unwrap(), "9.2");
}

#[tokio::test]
async fn insecure_still_wants_tls() {
    let server = server(Identity::self_signed(&["x"])).await;
    assert_eq!(
        version(server.settings(Trust::Insecure)).await.unwrap(),
        "9.2"
    );
}

#[tokio::test]
async fn plain_http_is_told_from_a_bad_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: felhom_proxmox::Address =
        listener.local_addr().unwrap().to_string().parse().unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut chunk = [0; 1024];
        let count = tcp.read(&mut chunk).await.unwrap();
        heard.extend_from_slice(&chunk[..count]);
        tcp.write_all(
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n",
        )
        .await
        .unwrap();
        tcp.read_to_end(&mut heard).await.ok();
        heard
    });
    let error = version(settings(
        address,
        Trust::PinnedLeaf(Fingerprint::from_bytes([0; 32])),
    ))
    .await
    .unwrap_err();
    assert!(matches!(&error, Error::Tls { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("8006"));
    assert_eq!(error.delivery(), Delivery::NotSent);
    let heard = String::from_utf8_lossy(&heard.await.unwrap()).into_owned();
    assert!(!heard.contains("PVEAPIToken") && !heard.contains(SECRET));
}

#[tokio::test]
async fn a_bad_ca_file_is_found_before_anything_is_connected() {
    let server = server(Identity::self_signed(&["x"])).await;
    for pem in [
        "",
        "no pem at all",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let result = Client::new(server.settings(Trust::CaFile(pem.as_bytes().to_vec())));
        assert!(matches!(result, Err(Error::Trust { .. })), "{pem}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn looking_at_a_certificate_sends_nothing() {
    let server = server(Identity::self_signed(&["pve.lan", "192.0.2.7"])).await;
    let leaf = fetch_leaf(&server.address, Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(leaf.fingerprint, server.fingerprint);
    assert!(
        leaf.names.iter().any(|name| name.contains("pve.lan")),
        "{:?}",
        leaf.names
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_certificates_file_is_known_by_its_first_certificate() {
    let certificate = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["pve.lan".to_owned()]).unwrap();
        params.self_signed(&key).unwrap()
    };
    let (leaf, above) = (certificate(), certificate());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf.der());
    let expected = Fingerprint::from_bytes(digest.as_ref().try_into().unwrap());
    let chain = format!("of 2026\n{}{}", leaf.pem(), above.pem());
    assert_eq!(leaf_of_pem(chain.as_bytes()).unwrap(), expected);
    let key = KeyPair::generate().unwrap().serialize_pem();
    for text in ["", "no pem at all", &key, "-----BEGIN CERTIFICATE-----\n"] {
        let result = leaf_of_pem(text.as_bytes());
        assert!(matches!(result, Err(Error::Trust { .. })), "{text}");
    }
}
