//! The section `[metrics]`.

use std::path::PathBuf;

use super::problems::Problems;
use super::raw::RawMetrics;

/// The file for `node_exporter`, if there is to be one: it reads what ends in `.prom` only.
pub(super) fn textfile(raw: Option<RawMetrics>, problems: &mut Problems) -> Option<PathBuf> {
    let path = raw.and_then(|raw| raw.textfile)?;
    let named = path
        .extension()
        .is_some_and(|extension| extension == "prom");
    let problem = "metrics.textfile: must be an absolute path that ends in `.prom`: node_exporter reads no other";
    problems.require(path.is_absolute() && named, problem, path)
}
