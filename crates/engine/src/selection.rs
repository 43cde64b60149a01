//! Which guests the policy has backed up: `@all,-@tag-scratch,-105`.

use std::fmt;
use std::str::FromStr;

use felhom_ids::{GuestKind, Vmid};
use serde::{Deserialize, Serialize};

/// What is named, in or out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    All,
    Kind(GuestKind),
    Tag(String),
    Pool(String),
    Guest(Vmid),
}

/// Guests, by terms that are read from left to right: the last one that speaks of a guest decides.
///
/// It begins with what is in; so a guest that nobody named is out, and with `@all` one that is new is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selection(Vec<(bool, Term)>);

/// What a selection goes by.
#[derive(Debug, Clone, Copy)]
pub struct Selectable<'a> {
    /// The guest.
    pub vmid: Vmid,
    /// Its kind.
    pub kind: GuestKind,
    /// Its tags.
    pub tags: &'a [String],
    /// The pool that it is in.
    pub pool: Option<&'a str>,
}

/// The text is no selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSelectionError {
    /// Nothing is named.
    #[error("nothing is selected; `@all` are all guests")]
    Empty,
    /// It begins with what is out.
    #[error("`{0}` leaves something out of nothing; begin with what is in, such as `@all`")]
    OnlyOut(String),
    /// A term is none.
    #[error(
        "`{0}` selects nothing that is known; write a VMID, `@all`, `@ct`, `@vm`, `@tag-NAME` or `@pool-NAME`, with `-` before it to leave it out"
    )]
    Term(String),
}

impl Selection {
    /// All guests.
    pub fn all() -> Self {
        Self(vec![(true, Term::All)])
    }

    /// Whether it depends on the pools that guests are in.
    pub fn names_pools(&self) -> bool {
        let pool = |(_, term): &(bool, Term)| matches!(term, Term::Pool(_));
        self.0.iter().any(pool)
    }

    /// Whether a guest is in, and the term that says so; without one nobody named it.
    pub fn of(&self, guest: &Selectable<'_>) -> (bool, Option<String>) {
        let speaks = |(_, term): &&(bool, Term)| match term {
            Term::All => true,
            Term::Kind(kind) => guest.kind == *kind,
            // As PVE's own lists do, unless an admin sets `case-sensitive` (its `tag-style`).
            Term::Tag(tag) => guest.tags.iter().any(|one| one.eq_ignore_ascii_case(tag)),
            Term::Pool(pool) => guest.pool == Some(pool.as_str()),
            Term::Guest(vmid) => guest.vmid == *vmid,
        };
        let last = self.0.iter().rev().find(speaks);
        last.map_or((false, None), |term| (term.0, Some(text(term))))
    }
}

fn text((is_in, term): &(bool, Term)) -> String {
    let sign = if *is_in { "" } else { "-" };
    match term {
        Term::All => format!("{sign}@all"),
        Term::Kind(GuestKind::Lxc) => format!("{sign}@ct"),
        Term::Kind(GuestKind::Qemu) => format!("{sign}@vm"),
        Term::Tag(tag) => format!("{sign}@tag-{tag}"),
        Term::Pool(pool) => format!("{sign}@pool-{pool}"),
        Term::Guest(vmid) => format!("{sign}{vmid}"),
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self.0.iter().map(text).collect();
        f.write_str(&terms.join(","))
    }
}

impl From<Selection> for String {
    fn from(selection: Selection) -> Self {
        selection.to_string()
    }
}

impl TryFrom<String> for Selection {
    type Error = ParseSelectionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Selection {
    type Err = ParseSelectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let terms = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        let terms: Result<Vec<(bool, Term)>, Self::Err> = terms.map(term).collect();
        let terms = terms?;
        match terms.first() {
            None => Err(ParseSelectionError::Empty),
            Some(first @ (false, _)) => Err(ParseSelectionError::OnlyOut(self::text(first))),
            Some((true, _)) => Ok(Self(terms)),
        }
    }
}

fn term(written: &str) -> Result<(bool, Term), ParseSelectionError> {
    let refuse = || ParseSelectionError::Term(written.chars().take(80).collect());
    let (is_in, name) = match written.strip_prefix('-') {
        Some(name) => (false, name),
        None => (true, written),
    };
    let named = |name: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
        let whole = !name.is_empty() && name.chars().all(good);
        whole.then(|| name.to_owned()).ok_or_else(refuse)
    };
    let term = match name.strip_prefix('@') {
        None => Term::Guest(name.parse().map_err(|_| refuse())?),
        Some("all") => Term::All,
        Some("ct") => Term::Kind(GuestKind::Lxc),
        Some("vm") => Term::Kind(GuestKind::Qemu),
        Some(other) => match (other.strip_prefix("tag-"), other.strip_prefix("pool-")) {
            (Some(tag), _) => Term::Tag(named(tag)?),
            (None, Some(pool)) => Term::Pool(named(pool)?),
            (None, None) => return Err(refuse()),
        },
    };
    Ok((is_in, term))
}
