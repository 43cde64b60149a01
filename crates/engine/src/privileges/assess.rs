//! What is held compared with what is needed: what fails, who lacks what where, and the commands that mend it.
//!
//! The mending role repeats what the subject holds on the path and hands on below it: a grant deeper in the tree replaces
//! what was inherited instead of adding to it, so a role of the missing privilege alone would take all others away.

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::Vmid;
use serde::{Serialize, Serializer};

use super::rules::NO_ACCESS;
use super::{Effect, Holder, Need, Rules, Setting, SubjectKind, has, names};
use crate::finding::{Finding, codes};
use crate::principal::Principal;

/// One half of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The user.
    User,
    /// Its token.
    Token,
    /// One of them or both; it could not be seen which.
    Unknown,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::User => "the user",
            Self::Token => "the token",
            Self::Unknown => "the user or the token",
        }
    }
}

/// What a principal lacks on one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// Who.
    pub principal: Principal,
    /// Where.
    pub path: String,
    /// Missing privilege → who lacks it.
    pub privileges: BTreeMap<String, BTreeSet<Side>>,
    /// The worst that follows.
    pub effect: Effect,
    /// What happens without, by step name and command.
    #[serde(serialize_with = "operations")]
    pub operations: BTreeMap<(&'static str, &'static str), Effect>,
    /// The commands that mend it, in their order.
    pub mend: Vec<String>,
}

fn operations<S: Serializer>(
    all: &BTreeMap<(&'static str, &'static str), Effect>,
    to: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Line {
        operation: &'static str,
        command: &'static str,
        effect: Effect,
    }
    let line = |((operation, command), effect): (&(&'static str, &'static str), &Effect)| Line {
        operation,
        command,
        effect: *effect,
    };
    to.collect_seq(all.iter().map(line))
}

/// What the holders lack of what the table asks for.
pub fn assess(setting: &Setting, holders: &[Holder], rules: &Rules) -> Vec<Lack> {
    let mut lacks: Vec<(Lack, &Holder)> = Vec::new();
    for holder in holders {
        for need in setting.needs().filter(|need| holder.serves(need.principal)) {
            for (path, grant) in need.place.paths(setting) {
                for privilege in missing(need, holder, setting, rules, &path) {
                    let sides = sides(holder, rules, &path, privilege);
                    note(&mut lacks, holder, need, &grant, privilege, sides);
                }
            }
        }
    }
    let mended = lacks.into_iter().map(|(mut lack, holder)| {
        lack.mend = mend(&lack, holder, rules);
        lack
    });
    mended.collect()
}

/// Of several that would do, one is asked for: the one that most of user and token hold already.
fn missing(
    need: &Need,
    holder: &Holder,
    setting: &Setting,
    rules: &Rules,
    path: &str,
) -> Vec<&'static str> {
    let storage = format!("/storage/{}", setting.backup_storage);
    if need.archive && has(&holder.effective, &storage, "Datastore.Allocate") {
        return Vec::new();
    }
    let lacking = |privilege: &&'static str| !has(&holder.effective, path, privilege);
    let all: Vec<_> = need.privileges.iter().copied().filter(lacking).collect();
    if !need.any {
        return all;
    }
    if all.len() < need.privileges.len() {
        return Vec::new();
    }
    let nearest = all
        .into_iter()
        .min_by_key(|privilege| sides(holder, rules, path, privilege).len());
    nearest.into_iter().collect()
}

fn sides(holder: &Holder, rules: &Rules, path: &str, privilege: &str) -> BTreeSet<Side> {
    let mut lacking = BTreeSet::new();
    let by_user = holder.by_user.as_ref();
    let user = by_user.map(|held| holder.is_roots() || has(held, path, privilege));
    let own = rules.own(SubjectKind::Token, &holder.token, path);
    let token = match holder.separated {
        Some(false) => Some(true),
        Some(true) | None => own.map(|own| own.here.contains(privilege)),
    };
    if user == Some(false) {
        lacking.insert(Side::User);
    }
    if token == Some(false) {
        lacking.insert(Side::Token);
    }
    if lacking.is_empty() {
        lacking.insert(Side::Unknown);
    }
    lacking
}

fn note<'a>(
    lacks: &mut Vec<(Lack, &'a Holder)>,
    holder: &'a Holder,
    need: &Need,
    path: &str,
    privilege: &str,
    sides: BTreeSet<Side>,
) {
    let operation = (need.operation, need.purpose.command());
    let same = |lack: &Lack| lack.principal == holder.principal && lack.path == path;
    if let Some((lack, _)) = lacks.iter_mut().find(|(lack, _)| same(lack)) {
        lack.effect = lack.effect.min(need.effect);
        let effect = lack.operations.entry(operation).or_insert(need.effect);
        *effect = (*effect).min(need.effect);
        let known = lack.privileges.entry(privilege.to_owned()).or_default();
        known.extend(sides);
        return;
    }
    let lack = Lack {
        principal: holder.principal,
        path: path.to_owned(),
        privileges: BTreeMap::from([(privilege.to_owned(), sides)]),
        effect: need.effect,
        operations: BTreeMap::from([(operation, need.effect)]),
        mend: Vec::new(),
    };
    lacks.push((lack, holder));
}

fn mend(lack: &Lack, holder: &Holder, rules: &Rules) -> Vec<String> {
    let lacking = |side: Side| -> BTreeSet<String> {
        let of = lack.privileges.iter();
        of.filter(|(_, sides)| sides.contains(&side) || sides.contains(&Side::Unknown))
            .map(|(privilege, _)| privilege.clone())
            .collect()
    };
    let mut lines = Vec::new();
    let mut grants: Vec<(BTreeSet<String>, Vec<Side>)> = Vec::new();
    for side in [Side::User, Side::Token] {
        let missing = lacking(side);
        let needless = match side {
            Side::User => holder.is_roots(),
            Side::Token => holder.separated == Some(false),
            Side::Unknown => true,
        };
        if missing.is_empty() || needless {
            continue;
        }
        let (kept, barred) = kept(holder, rules, side, &lack.path);
        if barred {
            let whom = whom(holder, &[side]);
            lines.push(format!(
                "pveum acl delete {} {whom} --roles {NO_ACCESS}",
                lack.path
            ));
        }
        let wanted: BTreeSet<String> = kept.into_iter().chain(missing).collect();
        match grants
            .iter_mut()
            .find(|(privileges, _)| *privileges == wanted)
        {
            Some((_, sides)) => sides.push(side),
            None => grants.push((wanted, vec![side])),
        }
    }
    for (privileges, sides) in grants {
        lines.extend(grant(lack, holder, rules, &privileges, &sides));
    }
    lines
}

/// What one side holds on the path and hands on below it; and whether it is barred there.
fn kept(holder: &Holder, rules: &Rules, side: Side, path: &str) -> (BTreeSet<String>, bool) {
    let (kind, subject) = match side {
        Side::Token => (SubjectKind::Token, &holder.token),
        Side::User | Side::Unknown => (SubjectKind::User, &holder.user),
    };
    let own = rules.own(kind, subject, path).unwrap_or_default();
    // Grants of the user's groups are in what the server answers for the user only.
    let answered = match side {
        Side::User => holder.by_user.as_ref().unwrap_or(&holder.effective),
        Side::Token | Side::Unknown => &holder.effective,
    };
    let mut kept = names(answered, path);
    kept.extend(own.here);
    kept.extend(own.below);
    (kept, own.barred)
}

fn grant(
    lack: &Lack,
    holder: &Holder,
    rules: &Rules,
    privileges: &BTreeSet<String>,
    sides: &[Side],
) -> [String; 2] {
    let place = lack.path.trim_matches('/').replace('/', "-");
    let place = if place.is_empty() { "root" } else { &place };
    let half = match sides {
        [Side::User] => "-user",
        [Side::Token] => "-token",
        _ => "",
    };
    let role = format!("FelhomMend-{}-{place}{half}", lack.principal);
    let list: Vec<_> = privileges.iter().map(String::as_str).collect();
    let list = list.join(" ");
    // A role of that name may be in use elsewhere: it is added to, never cut.
    let make = if rules.roles.contains_key(&role) {
        format!("pveum role modify {role} --append 1 --privs '{list}'")
    } else {
        format!("pveum role add {role} --privs '{list}'")
    };
    let whom = whom(holder, sides);
    [
        make,
        format!("pveum acl modify {} {whom} --roles {role}", lack.path),
    ]
}

fn whom(holder: &Holder, sides: &[Side]) -> String {
    let each = sides.iter().map(|side| match side {
        Side::Token => format!("--tokens '{}'", holder.token),
        Side::User | Side::Unknown => format!("--users {}", holder.user),
    });
    each.collect::<Vec<_>>().join(" ")
}

/// What a person should know of it. What only an exercise needs is nothing to worry about.
///
/// `gone` are guests that are no more. With a guest PVE removes the grants on its path, so that what backups are left of it can
/// no longer be seen: that harms nobody who lives.
pub fn findings(lacks: &[Lack], gone: &BTreeSet<Vmid>) -> Vec<Finding> {
    let of_gone = |lack: &Lack| gone.iter().any(|vmid| lack.path == format!("/vms/{vmid}"));
    let known = lacks.iter().filter_map(|lack| {
        let code = match lack.effect {
            Effect::Fails | Effect::Blind if of_gone(lack) => codes::GONE_GUEST_UNSEEN,
            Effect::Fails => codes::PRIVILEGE_MISSING,
            Effect::Blind => codes::SIGHT_LIMITED,
            Effect::Optional => return None,
        };
        let subject = format!("principal {} on {}", lack.principal, lack.path);
        Some(Finding::new(code, subject, lack.detail()).hint(lack.mend.join("\n")))
    });
    known.collect()
}

impl Lack {
    /// Who lacks what, and what follows, in one sentence.
    pub fn detail(&self) -> String {
        let mut by_sides: BTreeMap<&BTreeSet<Side>, Vec<&str>> = BTreeMap::new();
        for (privilege, sides) in &self.privileges {
            by_sides.entry(sides).or_default().push(privilege);
        }
        let who: Vec<_> = by_sides
            .into_iter()
            .map(|(sides, privileges)| {
                let sides: Vec<_> = sides.iter().map(|side| side.word()).collect();
                let verb = if sides.len() > 1 { "lack" } else { "lacks" };
                format!("{} {verb} {}", sides.join(" and "), privileges.join(", "))
            })
            .collect();
        let mut commands: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (operation, command) in self.operations.keys() {
            commands.entry(command).or_default().push(operation);
        }
        let what: Vec<_> = commands
            .into_iter()
            .map(|(command, operations)| format!("{} of `{command}`", operations.join(", ")))
            .collect();
        let outcome = match self.effect {
            Effect::Fails | Effect::Optional => "fails",
            Effect::Blind => "cannot see all",
        };
        format!(
            "{}; without it {outcome}: {}",
            who.join("; "),
            what.join("; ")
        )
    }
}
