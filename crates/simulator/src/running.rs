//! Starting a world and holding it: the public face of the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::call::object;
use crate::clock::{Clock, Time};
use crate::faults::Fault;
use crate::scenario::{self, Scenario};
use crate::server::Server;
use crate::sim::Sim;
use crate::{access, control, hostd, pbs, persist, tls};

/// A new world looks as if its node had been up for so long.
const UP_BEFORE: Duration = Duration::from_mins(10);

/// Why a world does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory can't be read or written.
    #[error("the state directory `{}` can't be used", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody can listen there.
    #[error("can't listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A new world can't be filled.
    #[error("the scenario can't be built: {0}")]
    Scenario(String),
}

/// What world to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the world lives. A world found there goes on; else the scenario is built.
    pub state_dir: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the backup server listens.
    pub pbs_listen: SocketAddr,
    /// What a new world contains.
    pub scenario: Scenario,
    /// How its time passes.
    pub time: Time,
}

impl Options {
    /// The built-in scenario in real time on a free port of the loopback.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            pbs_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            scenario: Scenario::default(),
            time: Time::default(),
        }
    }
}

/// Starts worlds.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Starts a world; when this returns, it answers.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let in_state = |source| StartError::State {
            path: options.state_dir.clone(),
            source,
        };
        std::fs::create_dir_all(&options.state_dir).map_err(in_state)?;
        let found = persist::load(&options.state_dir).map_err(in_state)?;
        let is_new = found.is_none();
        let world = found.unwrap_or_default();
        let clock = Clock::start(options.time, Duration::from_secs(world.saved_at));
        let identity = tls::identity(&options.state_dir, &world.node.name).map_err(in_state)?;
        let in_listen = |source| StartError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(in_listen)?;
        let address = listener.local_addr().map_err(in_listen)?;
        let in_pbs_listen = |source| StartError::Listen {
            address: options.pbs_listen,
            source,
        };
        let pbs_listener = TcpListener::bind(options.pbs_listen)
            .await
            .map_err(in_pbs_listen)?;
        let pbs_address = pbs_listener.local_addr().map_err(in_pbs_listen)?;
        let sim = Sim::new(options.state_dir.clone(), clock, world, identity);
        // A state directory may have been moved since.
        sim.lock().storage.state.clone_from(&sim.state_dir);
        let backup_server = sim.lock().pbs.node.clone();
        sim.pbs
            .prepare(&sim.state_dir, &backup_server)
            .map_err(in_state)?;
        {
            let mut world = sim.lock();
            world.pbs.address = Some(pbs_address);
            world.pbs.fingerprint = sim.pbs.fingerprint();
        }
        if is_new {
            fill(&sim, &options.scenario)?;
        }
        persist::save(&sim).map_err(in_state)?;
        hostd::begin(&sim).map_err(in_state)?;
        let stop = CancellationToken::new();
        let server = Server::new(Arc::clone(&sim), stop.clone());
        let serving = tokio::spawn(server.run(listener));
        let backups = pbs::Server::new(Arc::clone(&sim), stop.clone());
        let serving_pbs = tokio::spawn(backups.run(pbs_listener));
        let saving = tokio::spawn(persist::keep_saving(Arc::clone(&sim), stop.clone()));
        Ok(Running {
            sim,
            address,
            pbs_address,
            stop,
            serving,
            serving_pbs,
            saving,
        })
    }
}

/// Fills a new world.
fn fill(sim: &Arc<Sim>, scenario: &Scenario) -> Result<(), StartError> {
    let booted = sim.clock.since_epoch().saturating_sub(UP_BEFORE).as_secs();
    sim.lock().node.boot = i64::try_from(booted).unwrap_or_default();
    scenario::build(sim, scenario).map_err(StartError::Scenario)?;
    let mut world = sim.lock();
    world.pbs.boot = world.node.boot;
    if let Some(root) = world.pbs.access.users.get_mut("root@pam") {
        root.password.get_or_insert_with(|| access::random_hex(12));
    }
    if let Some(root) = world.access.users.get_mut("root@pam") {
        root.password.get_or_insert_with(|| access::random_hex(12));
    }
    Ok(())
}

/// A world that runs. Dropping it leaves it running; [`Running::stop`] ends it.
pub struct Running {
    sim: Arc<Sim>,
    address: SocketAddr,
    pbs_address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    serving_pbs: JoinHandle<()>,
    saving: JoinHandle<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Running")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Where it answers: `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The socket it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SHA-256 of its certificate, in PVE's writing.
    pub fn fingerprint(&self) -> String {
        self.sim.identity().fingerprint
    }

    /// Where the backup server answers: `https://127.0.0.1:PORT`.
    pub fn pbs_url(&self) -> String {
        format!("https://{}", self.pbs_address)
    }

    /// The socket that the backup server listens on.
    pub fn pbs_address(&self) -> SocketAddr {
        self.pbs_address
    }

    /// SHA-256 of the backup server's certificate, in its own writing: lower case.
    pub fn pbs_fingerprint(&self) -> String {
        self.sim.pbs.fingerprint()
    }

    /// The backup server's name.
    pub fn pbs_node(&self) -> String {
        self.sim.lock().pbs.node.clone()
    }

    /// The backup server's datastores.
    pub fn pbs_datastores(&self) -> Vec<String> {
        self.sim.lock().pbs.stores.keys().cloned().collect()
    }

    /// The backup server's API tokens with their secrets.
    pub fn pbs_tokens(&self) -> BTreeMap<String, String> {
        self.sim.lock().pbs.access.secrets()
    }

    /// The backup server's users that have a password.
    pub fn pbs_passwords(&self) -> BTreeMap<String, String> {
        self.sim.lock().pbs.access.passwords()
    }

    /// Seconds since the epoch as the backup server's clock shows them.
    pub fn pbs_now(&self) -> i64 {
        self.sim.pbs_now()
    }

    /// The socket of the root helper, whether or not it listens.
    pub fn host_socket(&self) -> PathBuf {
        hostd::socket(&self.sim)
    }

    /// The node's name.
    pub fn node(&self) -> String {
        self.sim.lock().node.name.clone()
    }

    /// Where its state lies.
    pub fn state_dir(&self) -> &Path {
        &self.sim.state_dir
    }

    /// All API tokens with their secrets.
    pub fn tokens(&self) -> BTreeMap<String, String> {
        let world = self.sim.lock();
        let tokens = world.access.users.iter().flat_map(|(user, entry)| {
            entry
                .tokens
                .iter()
                .map(move |(name, token)| (format!("{user}!{name}"), token.secret.clone()))
        });
        tokens.collect()
    }

    /// The users that have a password.
    pub fn passwords(&self) -> BTreeMap<String, String> {
        let world = self.sim.lock();
        let users = world.access.users.iter();
        users
            .filter_map(|(user, entry)| Some((user.clone(), entry.password.clone()?)))
            .collect()
    }

    /// Puts a fault in force.
    pub fn inject(&self, fault: Fault) {
        self.sim.faults.inject(fault);
    }

    /// The faults still in force.
    pub fn faults(&self) -> Vec<Fault> {
        self.sim.faults.list()
    }

    /// Ends all faults and lets held answers and workers go.
    pub fn clear_faults(&self) {
        self.sim.faults.clear();
    }

    /// Lets held answers and workers go.
    pub fn release(&self) {
        self.sim.faults.release();
    }

    /// How many answers and workers are being held.
    pub fn held_answers(&self) -> usize {
        self.sim.faults.held_answers()
    }

    /// How often each kind of mutation took effect: `vzrestore 9100`, `POST /nodes/{node}/vzdump 9001`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.sim.lock().counts.clone()
    }

    /// What there is to see, beyond the API.
    pub fn state(&self) -> Value {
        control::state(&self.sim)
    }

    /// Simulated seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.sim.clock.now()
    }

    /// Lets simulated time pass at once.
    pub fn advance(&self, span: Duration) {
        self.sim.clock.advance(span);
    }

    /// The node's wall clock jumps by so many seconds; time itself passes as before.
    pub fn shift_clock(&self, seconds: i64) {
        self.sim.clock.shift(seconds);
    }

    /// The node gets another certificate, and every connection ends; its new fingerprint.
    pub fn renew_certificate(&self) -> io::Result<String> {
        self.sim.renew_certificate()
    }

    /// The host loses power and boots again after `down` of simulated time.
    pub async fn power_cut(&self, down: Duration) {
        self.sim.power_cut(down).await;
    }

    /// Performs a command of `/_sim/` by name.
    pub async fn control(&self, name: &str, body: Value) -> Result<Value, String> {
        control::perform(&self.sim, name, &body).await
    }

    /// Lets somebody else fill so many bytes of the thin pool.
    pub async fn fill_pool(&self, bytes: u64) -> Result<Value, String> {
        self.control("fill-pool", json!({ "bytes": bytes })).await
    }

    /// Damages an archive in place.
    pub async fn corrupt_archive(&self, volid: &str) -> Result<Value, String> {
        self.control("corrupt-archive", json!({ "volid": volid }))
            .await
    }

    /// Changes a guest behind the API's back: `set` and `delete` options, `raw` lines, `files`, `running`, `frozen`,
    /// `writes`, `firewall`, as `POST /_sim/poke-guest` takes them.
    pub async fn poke_guest(&self, vmid: u32, change: Value) -> Result<Value, String> {
        let mut order = object(change);
        order.insert("vmid".into(), vmid.into());
        self.control("poke-guest", Value::Object(order)).await
    }

    /// The guests there are, whatever anybody may see of them.
    pub fn guests(&self) -> BTreeSet<u32> {
        let world = self.sim.lock();
        world
            .guests
            .lxc
            .keys()
            .chain(world.qemu.keys())
            .copied()
            .collect()
    }

    /// How many writes of running production guests have failed for want of room in the pool.
    pub fn production_write_failures(&self) -> u64 {
        let now = self.sim.clock.now_f64();
        let mut world = self.sim.lock();
        world.settle(now);
        world.storage.pool.production_write_failures
    }

    /// Closes all connections, kills what runs, writes the world down.
    pub async fn stop(self) -> io::Result<()> {
        self.stop.cancel();
        self.sim.power().cancel();
        self.sim.tasks.kill_all().await;
        hostd::stop(&self.sim).await?;
        for job in [self.serving, self.serving_pbs, self.saving] {
            job.await.map_err(io::Error::other)?;
        }
        persist::save(&self.sim)
    }
}
