//! The world on disk: `world.json` in the state directory, written whole and renamed into place.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::sim::Sim;
use crate::world::World;

/// A world that changes all the time is written this often.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// The world of a former run; none in a new state directory.
pub(crate) fn load(state_dir: &Path) -> io::Result<Option<World>> {
    match fs::read(state_dir.join("world.json")) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the world now.
pub(crate) fn save(sim: &Sim) -> io::Result<()> {
    let text = {
        let mut world = sim.lock();
        world.saved_at = sim.clock.since_epoch().as_secs();
        serde_json::to_vec(&*world)?
    };
    let _changed = sim.take_dirty();
    let target = sim.state_dir.join("world.json");
    let draft = sim.state_dir.join("world.json.new");
    fs::write(&draft, text)?;
    fs::rename(draft, target)
}

/// Writes the world whenever it has changed, until `stop`.
pub(crate) async fn keep_saving(sim: Arc<Sim>, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(DEBOUNCE))
        .await
        .is_some()
    {
        if sim.take_dirty()
            && let Err(error) = save(&sim)
        {
            tracing::warn!(%error, "the simulated world could not be written");
        }
    }
}
