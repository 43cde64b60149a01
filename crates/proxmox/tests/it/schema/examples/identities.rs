//! Calls about users, tokens, roles, grants, pools and the host's network.

use felhom_ids::TokenId;
use felhom_proxmox::pve::identities::{
    ApplyNetwork, Change, IssueToken, ListAcl, ListPools, ListRoles, ListUsers,
};

use super::{Examples, id};

pub(super) fn add(examples: &mut Examples) {
    examples.one(&ListRoles);
    examples.one(&ListUsers);
    examples.one(&ListAcl);
    examples.one(&ListPools);
    examples.one(&ApplyNetwork);
    roles(examples);
    let user = || id("felhom-agent@pve");
    let comment = || "made by felhom-agent enroll; do not edit".to_owned();
    examples.one(&Change::CreateUser {
        user: user(),
        comment: comment(),
    });
    examples.one(&Change::DeleteUser(user()));
    for pool in ["felhom-scratch", "lab/tests/deep"] {
        examples.one(&Change::CreatePool {
            pool: id(pool),
            comment: comment(),
        });
        examples.one(&Change::DeletePool(id(pool)));
    }
    examples.one(&Change::CreateBridge {
        bridge: id("vmbr9"),
        comment: comment(),
    });
    examples.one(&Change::DeleteBridge(id("vmbr9")));
    for token in ["felhom-agent@pve!agent", "eve@example.org@ldap!test.2_b-c"] {
        of_token(examples, &id(token), &comment());
    }
}

fn roles(examples: &mut Examples) {
    let role = || "Felhom.Agent-backup_1".to_owned();
    let none = || Change::CreateRole {
        role: role(),
        privs: Vec::new(),
    };
    let some = || vec!["VM.Audit".to_owned(), "Datastore.AllocateSpace".to_owned()];
    let full = Change::CreateRole {
        role: role(),
        privs: some(),
    };
    examples.pair(&none(), &full);
    let emptied = Change::SetRole {
        role: role(),
        privs: Vec::new(),
    };
    let set = Change::SetRole {
        role: role(),
        privs: some(),
    };
    examples.pair(&emptied, &set);
    examples.one(&Change::DeleteRole(role()));
}

fn of_token(examples: &mut Examples, token: &TokenId, comment: &str) {
    let grant = |delete| Change::Acl {
        path: "/storage/local".to_owned(),
        role: "Felhom.Agent-backup_1".to_owned(),
        token: token.clone(),
        delete,
    };
    examples.pair(&grant(false), &grant(true));
    examples.one(&Change::DeleteToken(token.clone()));
    for regenerate in [false, true] {
        examples.one(&IssueToken {
            token: token.clone(),
            regenerate,
            comment: comment.to_owned(),
        });
    }
}
