//! PVE's own record of tasks: `index.1`, `index` and `active` in `/var/log/pve/tasks`.
//!
//! A task that ended goes to the end of `index` with the time and the status of its end; `active` has those that run, those
//! that nobody has looked at since they ended, and the latest of the others (pve-common `RESTEnvironment.pm` `active_workers`,
//! `INotify.pm` `read_active_workers`). When `index` is full it becomes `index.1`.

use std::collections::BTreeSet;

use felhom_ids::{Upid, Vmid};

use super::files::{self, WWW_DATA};
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// PVE lets `index` grow to 50 000 bytes, and what ended at the same time beyond.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A task on a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) upid: Upid,
    /// How it ended, when that was written down: `OK`, `WARNINGS: 1`, an error, `unexpected status`.
    pub(crate) status: Option<String>,
}

impl Listed {
    /// Whether it ended well (pve-common `UPID.pm` `status_is_error`).
    pub(crate) fn ended_well(&self) -> bool {
        let is_well = |status: &String| status == "OK" || status.starts_with("WARNINGS: ");
        self.status.as_ref().is_some_and(is_well)
    }
}

/// The tasks on one guest, in the order in which PVE wrote down that they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TasksOfGuest {
    vmid: Vmid,
    /// Those of the indices.
    ended: Vec<Listed>,
    /// Those that are in `active` alone. Their order there says nothing.
    open: Vec<Listed>,
}

impl TasksOfGuest {
    /// Reads them.
    pub(crate) fn read(layout: &Layout, vmid: Vmid) -> Result<Self, Refusal> {
        let read = |name: &str| {
            let path = format!("/var/log/pve/tasks/{name}");
            files::trusted(layout, &path, &[WWW_DATA], LONGEST).map(Option::unwrap_or_default)
        };
        // In the order of a task's way, backwards: one that goes from `active` to `index` meanwhile is seen twice, not never.
        let active = read("active")?;
        let index = read("index")?;
        Self::parse(vmid, &[&read("index.1")?, &index], &active)
    }

    fn parse(vmid: Vmid, indices: &[&str], active: &str) -> Result<Self, Refusal> {
        let mut ended: Vec<Listed> = Vec::new();
        for line in indices.iter().flat_map(|index| index.lines()) {
            ended.extend(index_line(vmid, line)?);
        }
        let known: BTreeSet<_> = ended.iter().map(|task| task.upid.clone()).collect();
        let mut open: Vec<Listed> = Vec::new();
        for line in active.lines() {
            open.extend(active_line(vmid, line)?.filter(|task| !known.contains(&task.upid)));
        }
        Ok(Self { vmid, ended, open })
    }

    /// The last task on the guest, when it is beyond doubt which that is: it stands last, and began last.
    ///
    /// Clocks jump, and tasks that ended at the same time stand in the order of their beginnings, so both have to agree.
    pub(crate) fn last(&self) -> Result<&Listed, Refusal> {
        let vmid = self.vmid;
        let doubt = |why: &str| {
            let text = format!("nobody can say which task on {vmid} was the last: {why}");
            Err(Refusal::new(Code::NotProven, text))
        };
        let last = match self.open.as_slice() {
            [] => self.ended.last(),
            [one] => Some(one),
            [_, _, ..] => return doubt("there are several whose end is not written down"),
        };
        let Some(last) = last else {
            let text = format!("PVE's task files know of no task on {vmid}");
            return Err(Refusal::new(Code::NotFound, text));
        };
        let began = last.upid.starttime();
        let others = self.ended.iter().filter(|task| task.upid != last.upid);
        for other in others {
            if other.upid.starttime() >= began {
                return doubt("one that stands before it began later; the clock was set meanwhile");
            }
        }
        Ok(last)
    }
}

/// `UPID ENDTIME STATUS`.
fn index_line(vmid: Vmid, line: &str) -> Result<Option<Listed>, Refusal> {
    let (upid, rest) = line.split_once(' ').unwrap_or((line, ""));
    let Some(upid) = upid_of(vmid, upid, line)? else {
        return Ok(None);
    };
    let status = rest.split_once(' ').map(|(_, status)| status.to_owned());
    Ok(Some(Listed { upid, status }))
}

/// `UPID SAVED`, and of one that ended `UPID SAVED ENDTIME STATUS`.
fn active_line(vmid: Vmid, line: &str) -> Result<Option<Listed>, Refusal> {
    let (upid, rest) = line.split_once(' ').unwrap_or((line, ""));
    let Some(upid) = upid_of(vmid, upid, line)? else {
        return Ok(None);
    };
    let status = rest.splitn(3, ' ').nth(2).map(str::to_owned);
    Ok(Some(Listed { upid, status }))
}

/// The task when it is one on this guest. A line that cannot be read is none, unless it names the guest.
fn upid_of(vmid: Vmid, text: &str, line: &str) -> Result<Option<Upid>, Refusal> {
    match text.parse::<Upid>() {
        Ok(upid) => Ok((upid.id() == vmid.to_string()).then_some(upid)),
        Err(_) if line.contains(&format!(":{vmid}:")) => {
            let text = format!("PVE's task files have a line on {vmid} that is not understood");
            Err(Refusal::new(Code::NotProven, text))
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "UPID:pve:00001000:00000100:6900A000:vzrestore:9100:felhom@pve!t:";
    const B: &str = "UPID:pve:00001001:00000200:6900B000:vzdestroy:9100:felhom@pve!t:";
    const OTHER: &str = "UPID:pve:00001002:00000300:6900C000:vzdump:100:root@pam:";

    fn tasks(index_1: &str, index: &str, active: &str) -> Result<TasksOfGuest, Refusal> {
        TasksOfGuest::parse("9100".parse().unwrap(), &[index_1, index], active)
    }

    fn last(index_1: &str, index: &str, active: &str) -> Result<String, Code> {
        let tasks = tasks(index_1, index, active).map_err(|refusal| refusal.code)?;
        let last = tasks.last().map_err(|refusal| refusal.code)?;
        Ok(last.upid.as_str().to_owned())
    }

    #[test]
    fn the_last_is_the_one_that_stands_last_and_began_last() {
        let (a, b) = (format!("{A} 6900A010 OK\n"), format!("{B} 6900B010 OK\n"));
        let other = format!("{OTHER} 6900C001 OK\n");
        assert_eq!(last("", &format!("{a}{b}{other}"), "").unwrap(), B);
        assert_eq!(last(&a, &b, "").unwrap(), B);
        assert_eq!(last("", &a, &format!("{B} 0\n")).unwrap(), B);
        assert_eq!(last("", &a, &format!("{A} 1 6900A010 OK\n")).unwrap(), A);
        assert_eq!(last("", "", &format!("{OTHER} 0\n{A} 0\n")).unwrap(), A);
    }

    #[test]
    fn what_is_in_doubt_is_not_proven() {
        let (a, b) = (format!("{A} 6900A010 OK\n"), format!("{B} 6900B010 OK\n"));
        assert_eq!(last("", &format!("{b}{a}"), ""), Err(Code::NotProven));
        assert_eq!(last("", &b, &format!("{A} 0\n")), Err(Code::NotProven));
        let both = format!("{A} 0\n{B} 0\n");
        assert_eq!(last("", "", &both), Err(Code::NotProven));
        let torn = "UPID:pve:00001003:00000400:6900D000:vzstart:9100:felhom@pv";
        assert_eq!(
            last("", &format!("{a}{torn}:9100: x\n"), ""),
            Err(Code::NotProven)
        );
        assert_eq!(last("", &other(), ""), Err(Code::NotFound));
        assert_eq!(last("", "\0\0\0\n", ""), Err(Code::NotFound));
    }

    fn other() -> String {
        format!("{OTHER} 6900C001 OK\n")
    }

    #[test]
    fn how_it_ended_is_read_from_both_files() {
        let ended = |index: &str, active: &str| {
            let tasks = tasks("", index, active).unwrap();
            tasks.last().unwrap().status.clone()
        };
        assert_eq!(
            ended(&format!("{A} 6900A010 WARNINGS: 1\n"), "").unwrap(),
            "WARNINGS: 1"
        );
        let active = format!("{A} 0 6900A010 unexpected status\n");
        assert_eq!(ended("", &active).unwrap(), "unexpected status");
        assert_eq!(ended("", &format!("{A} 0\n")), None);
    }
}
