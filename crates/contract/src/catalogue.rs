//! The catalogue of questions: data, read from the files under `questions/` that are compiled in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::pbs::Call;
use crate::product::Product;
use crate::question::{During, Fixture, Identity, Operation, Question};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Page {
    /// What all its questions need.
    #[serde(default)]
    needs: BTreeSet<String>,
    #[serde(default)]
    question: Vec<Question>,
    #[serde(default)]
    fixture: Vec<Fixture>,
    #[serde(default)]
    during: Vec<During>,
    #[serde(default)]
    identity: Vec<Identity>,
    #[serde(default)]
    role: Vec<Identity>,
    #[serde(default)]
    operation: Vec<Operation>,
    #[serde(default)]
    call: Vec<Call>,
    /// Who performs the calls, in the order of the table.
    #[serde(default)]
    columns: Vec<String>,
}

/// All there is to ask.
#[derive(Debug, Default)]
pub struct Catalogue {
    pub(crate) questions: Vec<Question>,
    pub(crate) fixtures: BTreeMap<String, Fixture>,
    pub(crate) during: BTreeMap<String, During>,
    pub(crate) identities: BTreeMap<String, Identity>,
    pub(crate) roles: Vec<Identity>,
    pub(crate) operations: Vec<Operation>,
    /// What every role of a backup server is asked to do.
    pub(crate) calls: Vec<Call>,
    /// Those roles, in the order of the table.
    pub(crate) columns: Vec<String>,
}

/// A catalogue that contradicts itself.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A page that cannot be read.
    #[error("questions of `{page}` make no sense")]
    Parse {
        /// Which.
        page: String,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A name that is used twice or not at all.
    #[error("{0}")]
    Name(String),
}

/// What is asked of Proxmox VE.
const PVE: &[(&str, &str)] = &[
    ("fixtures", include_str!("../questions/fixtures.toml")),
    ("wire", include_str!("../questions/wire.toml")),
    ("bad-input", include_str!("../questions/bad-input.toml")),
    ("read", include_str!("../questions/read.toml")),
    ("tasks", include_str!("../questions/tasks.toml")),
    ("phase1", include_str!("../questions/phase1.toml")),
    ("phase3", include_str!("../questions/phase3.toml")),
    ("backup", include_str!("../questions/backup.toml")),
    ("restore", include_str!("../questions/restore.toml")),
    ("machines", include_str!("../questions/machines.toml")),
    ("confined", include_str!("../questions/confined.toml")),
    ("locks", include_str!("../questions/locks.toml")),
    ("privileges", include_str!("../questions/privileges.toml")),
];

/// What is asked of a backup server; damage first, for a verification changes what is damaged.
const PBS: &[(&str, &str)] = &[
    ("pbs-damage", include_str!("../questions/pbs-damage.toml")),
    ("pbs-wire", include_str!("../questions/pbs-wire.toml")),
    ("pbs-grants", include_str!("../questions/pbs-grants.toml")),
    ("pbs-read", include_str!("../questions/pbs-read.toml")),
    ("pbs-nodes", include_str!("../questions/pbs-nodes.toml")),
    ("pbs-verify", include_str!("../questions/pbs-verify.toml")),
    ("pbs-tasks", include_str!("../questions/pbs-tasks.toml")),
    ("pbs-jobs", include_str!("../questions/pbs-jobs.toml")),
    ("pbs-change", include_str!("../questions/pbs-change.toml")),
    (
        "pbs-permissions",
        include_str!("../questions/pbs-permissions.toml"),
    ),
];

impl Catalogue {
    /// The questions for a kind of server that are compiled in.
    pub fn of(product: Product) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        let pages = match product {
            Product::Pve => PVE,
            Product::Pbs => PBS,
        };
        for (name, text) in pages {
            let page: Page = toml::from_str(text).map_err(|source| CatalogueError::Parse {
                page: (*name).to_owned(),
                source: Box::new(source),
            })?;
            catalogue.add(name, page);
        }
        catalogue.check()?;
        Ok(catalogue)
    }

    /// All questions that stand in the catalogue by name; those about removed privileges follow from its operations.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// What each role of a backup server is known to be allowed: call, role, and the cell of the table.
    pub fn permissions(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.calls.iter().flat_map(|call| {
            let cells = call.cells.iter();
            cells.map(|(role, known)| (call.name.as_str(), role.as_str(), known.as_str()))
        })
    }

    fn add(&mut self, group: &str, page: Page) {
        for mut question in page.question {
            question.name = format!("{group}/{}", question.name);
            question.needs.extend(page.needs.iter().cloned());
            self.questions.push(question);
        }
        let named = |fixture: Fixture| (fixture.name.clone(), fixture);
        self.fixtures.extend(page.fixture.into_iter().map(named));
        self.during
            .extend(page.during.into_iter().map(|one| (one.name.clone(), one)));
        self.identities
            .extend(page.identity.into_iter().map(|one| (one.name.clone(), one)));
        self.roles.extend(page.role);
        self.operations.extend(page.operation);
        self.calls.extend(page.call);
        self.columns.extend(page.columns);
    }

    fn check(&self) -> Result<(), CatalogueError> {
        let mut seen = BTreeSet::new();
        for question in &self.questions {
            if !seen.insert(&question.name) {
                return Err(CatalogueError::Name(format!(
                    "two questions are called `{}`",
                    question.name
                )));
            }
            let during = question
                .during
                .iter()
                .find(|name| !self.during.contains_key(*name));
            let fixture = question
                .uses
                .iter()
                .find(|name| !self.fixtures.contains_key(*name));
            if let Some(missing) = during.or(fixture) {
                let text = format!("`{}` needs `{missing}`, which nothing makes", question.name);
                return Err(CatalogueError::Name(text));
            }
        }
        Ok(())
    }
}
