//! A pass for people, and for programs.

use felhom_engine::{Left, PassPlan, Unasked, Work};
use serde_json::{Value, json};

use super::Pass;
use super::finish::Said;
use super::work::Done;
use crate::clock;

pub(super) fn data(pass: &Pass, said: &Said) -> Value {
    json!({
        "dry_run": false,
        "resumed": pass.resumed,
        "done": pass.done,
        "due": pass.plan.due,
        "left": pass.plan.left,
        "out": pass.plan.out,
        "unasked": pass.plan.unasked,
        "broken": pass.broken,
        "says": said.says,
    })
}

/// What is done, in a few words.
pub(super) fn work(work: &Work) -> String {
    match work {
        Work::Backup { vmid } => format!("backup of guest {vmid}"),
        Work::Prune { vmid, storage } => format!("pruning of guest {vmid} on `{storage}`"),
        Work::Proof {
            vmid,
            volid: Some(volid),
        } => format!("restore test of guest {vmid} ({volid})"),
        Work::Proof { vmid, volid: None } => format!("restore test of guest {vmid}"),
        Work::Verify { storage, .. } => format!("verify of what is on `{storage}`"),
    }
}

pub(super) fn text(pass: &Pass, said: &Said) -> String {
    let mut lines: Vec<String> = pass
        .resumed
        .iter()
        .map(|one| format!("ended first: {one}"))
        .collect();
    lines.extend(pass.done.iter().flat_map(done));
    if pass.done.is_empty() {
        lines.push("nothing was due".to_owned());
    }
    lines.extend(pass.plan.left.iter().map(left));
    lines.extend(out(&pass.plan));
    lines.extend(pass.plan.unasked.iter().map(unasked));
    lines.extend(pass.broken.iter().map(|why| format!("ended early: {why}")));
    lines.extend(said.says.iter().cloned());
    lines.join("\n")
}

pub(super) fn plan(resumed: &[String], plan: &PassPlan) -> String {
    let mut lines = resumed.to_vec();
    for due in &plan.due {
        lines.push(format!("{}: {}", work(&due.work), due.reason));
    }
    if plan.due.is_empty() {
        lines.push("nothing is due".to_owned());
    }
    lines.extend(plan.left.iter().map(left));
    lines.extend(out(plan));
    lines.extend(plan.unasked.iter().map(unasked));
    lines.join("\n")
}

fn done(done: &Done) -> Vec<String> {
    let head = format!("{}: {} ({})", work(&done.work), done.verdict, done.reason);
    let says = done.says.iter().map(|line| format!("  {line}"));
    [head].into_iter().chain(says).collect()
}

fn left(left: &Left) -> String {
    let next = left
        .next
        .map_or_else(String::new, |next| format!("; next {}", clock::local(next)));
    format!("not now: {}: {}{next}", work(&left.work), left.reason)
}

fn out(plan: &PassPlan) -> impl Iterator<Item = String> {
    let line =
        |out: &felhom_engine::LeftOut| format!("left out: guest {}: {}", out.vmid, out.reason);
    plan.out.iter().map(line)
}

fn unasked(one: &Unasked) -> String {
    format!("not set up: {}: {}", one.chore, one.reason)
}
