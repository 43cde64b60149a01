//! Resource pools and what is in them.

use felhom_ids::{NodeName, PoolId, StorageId};
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /pools?poolid=`: `Pool.Audit` on the pool, which PVE 9.2 asks for without enforcing it. (`GET /pools/ID` cannot name nested pools.)
#[derive(Debug, Clone)]
pub struct GetPool {
    /// Which.
    pub pool: PoolId,
}

/// A resource pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pool {
    /// Its id.
    pub poolid: PoolId,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
    /// What is in it; members that the caller may not audit are missing.
    #[serde(default, deserialize_with = "decode::list")]
    pub members: Vec<PoolMember>,
}

/// A guest or storage in a pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolMember {
    /// Such as `lxc/9001`.
    #[serde(deserialize_with = "decode::text")]
    pub id: String,
    /// `lxc`, `qemu` or `storage`.
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// A guest's number.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub vmid: Option<u32>,
    /// A storage's id.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub storage: Option<StorageId>,
}

impl Endpoint for GetPool {
    type Response = Vec<Pool>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"pools"]).with("poolid", &self.pool)
    }
}

impl Pve {
    /// One pool, with its members.
    pub async fn pool(&self, pool: &PoolId) -> Result<Option<Pool>, Error> {
        let pools = self.call(&GetPool { pool: pool.clone() }).await?;
        Ok(pools.into_iter().find(|found| &found.poolid == pool))
    }
}
