//! The page `docs/reference/metrics.md`, made of the table of metrics.

use super::families::CHAPTERS;
use super::text::Family;

const HEAD: &str = "\
# Metrics

What `felhom-agent metrics print`, `felhom-agent metrics serve` and the file of `metrics.textfile` tell
([monitoring.md](../operations/monitoring.md) says how to read them). The page is made of the program's own table; a test compares it.

Names, labels and meanings are stable: one that goes, or changes, is announced in a release before it does. All are gauges; those that end
in `_info` have the value 1 and tell by their labels. Times are in seconds since 1970: an age is `time() - …`, so that an old report never
looks young. A series is absent where nobody could look: that is not the same as 0. Where a label `state` names several states, the one that holds
has the value 1, the others 0. All values are those of the last host report.

";

const RULES: &str = r#"## Example rules

For Prometheus; `docs/operations/monitoring.md` says which of them to begin with.

```yaml
groups:
  - name: felhom
    rules:
      - alert: FelhomBackupTooOld
        expr: >
          (felhom_guest_selected == 1)
            unless on (instance, vmid)
          (time() - felhom_guest_good_backup_timestamp_seconds
            < on (instance) group_left () felhom_backup_limit_seconds)
        for: 1h
        labels: { severity: critical }
        annotations: { summary: "guest {{ $labels.vmid }} has no good backup that is young enough" }
      - alert: FelhomProofTooOld
        expr: >
          (felhom_guest_selected == 1)
            unless on (instance, vmid)
          ((time() - felhom_guest_proof_timestamp_seconds
            < on (instance) group_left () felhom_proof_limit_seconds)
            and on (instance, vmid) felhom_guest_proof_verdict{state="passed"} == 1)
        for: 1d
        labels: { severity: warning }
        annotations: { summary: "no backup of guest {{ $labels.vmid }} was restored lately" }
      - alert: FelhomAgentSilent
        expr: >
          time() - felhom_report_timestamp_seconds > 26 * 3600
            or absent(felhom_report_timestamp_seconds)
        for: 15m
        labels: { severity: critical }
        annotations: { summary: "felhom-agent has made no report for more than a day" }
```
"#;

/// The page.
pub fn metrics_page() -> String {
    let mut parts = vec![HEAD.to_owned()];
    for (title, families) in CHAPTERS {
        parts.push(format!(
            "## {title}\n\n| metric | labels | what it tells |\n|---|---|---|\n"
        ));
        parts.extend(families.iter().map(row));
        parts.push("\n".to_owned());
    }
    parts.push(RULES.to_owned());
    parts.concat()
}

fn row(family: &Family) -> String {
    let labels = family.labels.iter().map(|label| format!("`{label}`"));
    let labels: Vec<String> = labels.collect();
    format!(
        "| `{}` | {} | {} |\n",
        family.name,
        labels.join(", "),
        family.help
    )
}
