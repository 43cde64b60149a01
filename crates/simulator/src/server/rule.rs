//! The declared permission of a route, checked on parameters as they arrived: before anybody has verified them.

use serde_json::Value;

use crate::access::Principal;
use crate::call::ApiError;
use crate::route::Rule;
use crate::server::form::Raw;
use crate::world::World;

/// Refuses what the rule does not allow.
pub(crate) fn check(
    world: &World,
    who: &Principal,
    rule: &Rule,
    params: &Raw,
) -> Result<(), ApiError> {
    if who.is_root() {
        return Ok(());
    }
    match rule {
        Rule::World | Rule::User => Ok(()),
        Rule::All(path, privileges) => world.check(who, &fill(path, params), privileges),
        Rule::Any(path, privileges) => world.check_any(who, &fill(path, params), privileges),
        Rule::Given(name, path, privileges) => {
            if !params.contains_key(*name) {
                return Err(ApiError::forbidden(""));
            }
            world.check(who, &fill(path, params), privileges)
        }
        Rule::And(rules) => rules
            .iter()
            .try_for_each(|rule| check(world, who, rule, params)),
        Rule::Or(rules) => {
            if rules
                .iter()
                .any(|rule| check(world, who, rule, params).is_ok())
            {
                return Ok(());
            }
            Err(ApiError::forbidden(""))
        }
        Rule::By(check) => check(world, who, params),
        Rule::RootOnly => Err(ApiError::forbidden("user != root@pam")),
    }
}

/// Puts parameters into a path template; a missing one becomes `-` (pve-common, `template_replace`).
fn fill(template: &str, params: &Raw) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').unwrap_or((behind, ""));
        filled.push_str(before);
        match params.get(name) {
            Some(Value::String(text)) => filled.push_str(text),
            Some(Value::Number(number)) => filled.push_str(&number.to_string()),
            _ => filled.push('-'),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}
