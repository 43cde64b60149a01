//! The API methods, by subject.

#![expect(
    clippy::unnecessary_wraps,
    reason = "handlers share one type, also those that cannot fail"
)]

pub(crate) mod access;
pub(crate) mod apt;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod disks;
pub(crate) mod jobs;
pub(crate) mod lxc;
pub(crate) mod network;
pub(crate) mod nodes;
pub(crate) mod pools;
pub(crate) mod qemu;
pub(crate) mod storage;
pub(crate) mod tasks;
#[cfg(test)]
mod tests;
pub(crate) mod version;
pub(crate) mod vzdump;

use crate::route::Route;

/// All methods there are.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> {
    [
        access::ROUTES,
        access::acl::ROUTES,
        access::roles::ROUTES,
        access::ticket::ROUTES,
        access::tokens::ROUTES,
        access::users::ROUTES,
        apt::ROUTES,
        certificates::ROUTES,
        cluster::ROUTES,
        disks::ROUTES,
        jobs::ROUTES,
        lxc::ROUTES,
        network::ROUTES,
        network::change::ROUTES,
        nodes::ROUTES,
        pools::ROUTES,
        qemu::ROUTES,
        storage::ROUTES,
        tasks::ROUTES,
        version::ROUTES,
        vzdump::ROUTES,
    ]
    .into_iter()
    .flatten()
}
