//! Principals that a run makes for itself: a user with one separated token, and a role for every grant and side.

use secrecy::SecretString;

use crate::bounds::{PREFIX, ROLE_PREFIX};
use crate::http::{Answer, Request};
use crate::ledger::Made;
use crate::product::Product;
use crate::question::{Grant, Identity, Side};
use crate::runner::{Halt, Runner};

/// A principal that was made.
#[derive(Debug, Clone)]
pub(crate) struct MadeIdentity {
    pub(crate) token: String,
    pub(crate) secret: SecretString,
    /// Name of the role of each grant and side.
    name: String,
}

impl MadeIdentity {
    fn role(&self, grant: usize, side: Side) -> String {
        format!("{ROLE_PREFIX}-{}-{grant}-{}", self.name, side.name())
    }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Makes a principal with its grants.
pub(crate) async fn identity(
    runner: &mut Runner<'_>,
    wanted: &Identity,
) -> Result<MadeIdentity, Halt> {
    if !runner.options.may_edit_identities {
        let text = "users, tokens and roles are only made with --may-edit-identities";
        return Err(Halt::NotApplicable(text.into()));
    }
    if runner.principal_id("admin").is_none() {
        let text = "no principal `root` or `root-token` to make others";
        return Err(Halt::NotApplicable(text.into()));
    }
    if runner.target.product == Product::Pbs {
        return pbs(runner, wanted).await;
    }
    let user = format!("{PREFIX}-{}@pve", wanted.name);
    // Left behind by a run that was killed; the prefix makes it ours.
    let stale = Request::new("DELETE", &format!("/access/users/{user}"), Vec::new());
    admin(runner, &stale).await?;
    let request = Request::new("POST", "/access/users", vec![pair("userid", &user)]);
    must(runner, &request).await?;
    runner.ledger.note(Made::User(user.clone()));
    let path = format!("/access/users/{user}/token/contract");
    let answer = must(
        runner,
        &Request::new("POST", &path, vec![pair("privsep", "1")]),
    )
    .await?;
    let data = answer.data();
    let text = |key: &str| data.get(key).and_then(serde_json::Value::as_str);
    let (Some(token), Some(secret)) = (text("full-tokenid"), text("value")) else {
        return Err(Halt::Broken(format!("no token came of making one: {data}")));
    };
    let made = MadeIdentity {
        token: token.to_owned(),
        secret: SecretString::from(secret.to_owned()),
        name: wanted.name.clone(),
    };
    for (place, grant) in wanted.grants.iter().enumerate() {
        for side in &grant.sides {
            give(runner, &made, &user, place, grant, *side).await?;
        }
    }
    Ok(made)
}

/// The same on a backup server, which has roles of its own and takes no others.
async fn pbs(runner: &mut Runner<'_>, wanted: &Identity) -> Result<MadeIdentity, Halt> {
    let user = format!("{PREFIX}-{}@pbs", wanted.name);
    let token = format!("/access/users/{user}/token/contract");
    for stale in [token.clone(), format!("/access/users/{user}")] {
        // Left behind by a run that was killed; the prefix makes it ours.
        admin(runner, &Request::new("DELETE", &stale, Vec::new())).await?;
    }
    let form = vec![pair("userid", &user)];
    must(runner, &Request::new("POST", "/access/users", form)).await?;
    runner.ledger.note(Made::User(user.clone()));
    let answer = must(runner, &Request::new("POST", &token, Vec::new())).await?;
    runner.ledger.note(Made::Token(user.clone()));
    let data = answer.data();
    let text = |key: &str| data.get(key).and_then(serde_json::Value::as_str);
    let (Some(token), Some(secret)) = (text("tokenid"), text("value")) else {
        return Err(Halt::Broken("no token came of making one".into()));
    };
    for grant in &wanted.grants {
        let path = runner.text(&grant.path)?;
        let Some(role) = &grant.role else {
            return Err(Halt::Broken(format!(
                "`{}` is granted no role",
                wanted.name
            )));
        };
        for side in &grant.sides {
            let auth = match side {
                Side::User => user.as_str(),
                Side::Token => token,
            };
            let form = vec![
                pair("path", &path),
                pair("role", role),
                pair("auth-id", auth),
            ];
            must(runner, &Request::new("PUT", "/access/acl", form)).await?;
            runner.ledger.note(Made::Acl {
                path: path.clone(),
                role: role.clone(),
                auth: auth.to_owned(),
            });
        }
    }
    for (what, value) in [("token", token), ("user", &user)] {
        let name = format!("{}-{what}", wanted.name);
        runner.names.insert(name, value.to_owned());
    }
    Ok(MadeIdentity {
        token: token.to_owned(),
        secret: SecretString::from(secret.to_owned()),
        name: wanted.name.clone(),
    })
}

async fn give(
    runner: &mut Runner<'_>,
    made: &MadeIdentity,
    user: &str,
    place: usize,
    grant: &Grant,
    side: Side,
) -> Result<(), Halt> {
    let role = made.role(place, side);
    let stale = Request::new("DELETE", &format!("/access/roles/{role}"), Vec::new());
    admin(runner, &stale).await?;
    let form = vec![
        pair("roleid", &role),
        pair("privs", &grant.privileges.join(" ")),
    ];
    must(runner, &Request::new("POST", "/access/roles", form)).await?;
    runner.ledger.note(Made::Role(role.clone()));
    let path = runner.text(&grant.path)?;
    let subject = match side {
        Side::User => pair("users", user),
        Side::Token => pair("tokens", &made.token),
    };
    let form = vec![pair("path", &path), pair("roles", &role), subject];
    must(runner, &Request::new("PUT", "/access/acl", form)).await?;
    Ok(())
}

/// Gives one side of a grant these privileges and no others.
pub(crate) async fn set_privileges(
    runner: &mut Runner<'_>,
    made: &MadeIdentity,
    place: usize,
    side: Side,
    privileges: &[&str],
) -> Result<(), Halt> {
    let path = format!("/access/roles/{}", made.role(place, side));
    let form = vec![pair("privs", &privileges.join(" "))];
    must(runner, &Request::new("PUT", &path, form)).await?;
    Ok(())
}

async fn admin(runner: &mut Runner<'_>, request: &Request) -> Result<Answer, Halt> {
    runner.send("admin", request).await
}

async fn must(runner: &mut Runner<'_>, request: &Request) -> Result<Answer, Halt> {
    let answer = admin(runner, request).await?;
    if answer.status == 200 {
        return Ok(answer);
    }
    let text = format!("{}: {} {}", request.shown(), answer.status, answer.text());
    Err(Halt::Broken(text))
}
