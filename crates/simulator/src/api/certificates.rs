//! `/nodes/{node}/certificates`: what the node shows who connects.

use serde_json::json;

use crate::call::{Answer, Call, Reply};
use crate::route::{Route, Rule};

pub(crate) const ROUTES: &[Route] = &[Route {
    method: "GET",
    path: "/nodes/{node}/certificates/info",
    rule: Rule::User,
    params: &[],
    handler: info,
}];

/// Two years, as Proxmox makes its own (pve-cluster `Setup.pm`, `gen_pve_ssl_cert`).
pub(crate) const VALID_FOR: i64 = 730 * 24 * 3600;

/// The fields are those of pve-common `Certificate.pm`, `get_certificate_info`. The file is read each time, so it tells
/// of a certificate that `pveproxy` shows from its next start on. The certificate authority is not simulated.
fn info(call: &Call<'_>) -> Reply {
    let (name, until) = {
        let world = call.sim.lock();
        let until = world.node.certificate_until;
        let until = until.unwrap_or(world.node.boot + VALID_FOR);
        (world.node.name.clone(), until)
    };
    Ok(Answer::Data(json!([{
        "filename": "pve-ssl.pem",
        "fingerprint": call.sim.placed_fingerprint(),
        "subject": format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={name}.localdomain"),
        "issuer": "/CN=Proxmox Virtual Environment/OU=simulated/O=PVE Cluster Manager CA",
        "notbefore": until - VALID_FOR,
        "notafter": until,
        "public-key-type": "id-ecPublicKey",
        "public-key-bits": 256,
        "san": ["127.0.0.1", "localhost", name],
    }])))
}
