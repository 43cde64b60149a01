//! The same questions asked over raw HTTP of everything that speaks the API of Proxmox VE or of Proxmox Backup
//! Server, and compared with what a real server is known to answer.
//!
//! It shares nothing with our client: a mistake that client and simulator have in common must show here.

mod bounds;
mod catalogue;
mod check;
mod evidence;
mod fixture;
mod http;
mod judge;
mod known;
mod ledger;
mod pattern;
mod pbs;
mod peer;
mod pin;
mod place;
mod privileges;
mod product;
mod question;
mod report;
mod runner;
mod target;
mod task;

pub use catalogue::{Catalogue, CatalogueError};
pub use evidence::{Evidence, InvalidEvidence};
pub use known::Known;
pub use pattern::matches;
pub use pbs::{Permission, permission_table};
pub use privileges::{Finding, Lack, Role, Side, table as privilege_table};
pub use product::Product;
pub use question::{Expected, Question};
pub use report::{Counts, Difference, Outcome, Report, Verdict};
pub use runner::{Options, RunError, run};
pub use target::{Target, TargetError};
