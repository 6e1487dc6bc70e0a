//! Watches the processes of this machine for children of the daemon: which live, and whether a job ever has two.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Act,
    Backup,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Children that live now: kind by run directory.
    pub(super) alive: BTreeMap<PathBuf, Kind>,
    /// Run directories that had two children at two looks in a row.
    pub(super) doubled: BTreeSet<PathBuf>,
    /// Run directories with a child, ever.
    pub(super) ever: BTreeMap<PathBuf, Kind>,
}

/// The watch; it ends when dropped.
pub(super) struct Watch {
    pub(super) seen: Arc<Mutex<Seen>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches children with run directories in this folder.
    pub(super) fn start(runs: PathBuf) -> Self {
        let (seen, ended) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (into, until) = (Arc::clone(&seen), Arc::clone(&ended));
        let work = move || {
            let mut before = BTreeSet::new();
            while !until.load(Ordering::SeqCst) {
                before = look(&runs, &before, &mut into.lock().unwrap());
                pause();
            }
        };
        let thread = std::thread::Builder::new()
            .name("children".to_owned())
            .spawn(work)
            .unwrap();
        Self {
            seen,
            ended,
            thread: Some(thread),
        }
    }

    /// Whether a child of this kind lives now.
    pub(super) fn lives(&self, kind: Kind) -> bool {
        self.seen.lock().unwrap().alive.values().any(|alive| *alive == kind)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

#[expect(clippy::disallowed_methods, reason = "a pace, not a wait for something")]
fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}

/// One look; gives the directories that have two children now.
fn look(runs: &Path, before: &BTreeSet<PathBuf>, seen: &mut Seen) -> BTreeSet<PathBuf> {
    let mut children: BTreeMap<PathBuf, Vec<(u32, u32)>> = BTreeMap::new();
    for (pid, parent, directory) in processes(runs) {
        children.entry(directory).or_default().push((pid, parent));
    }
    seen.alive.clear();
    let mut doubled = BTreeSet::new();
    for (directory, pids) in children {
        // A fork looks like its parent until it has become the command.
        let own = pids
            .iter()
            .filter(|(_, parent)| !pids.iter().any(|(pid, _)| pid == parent))
            .count();
        if own > 1 {
            doubled.insert(directory.clone());
        }
        let kind = kind(&directory);
        seen.ever.insert(directory.clone(), kind);
        seen.alive.insert(directory, kind);
    }
    seen.doubled.extend(doubled.intersection(before).cloned());
    doubled
}

fn kind(directory: &Path) -> Kind {
    let task = std::fs::read_to_string(directory.join("task")).unwrap_or_default();
    if task.contains("argv") { Kind::Act } else { Kind::Backup }
}

/// Process, parent and run directory of each child.
fn processes(runs: &Path) -> Vec<(u32, u32, PathBuf)> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<&str> = line
                .split(|byte| *byte == 0)
                .filter_map(|word| std::str::from_utf8(word).ok())
                .collect();
            let directory = PathBuf::from(words.get(2).filter(|_| words.get(1) == Some(&"child"))?);
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut after = stat.rsplit(')').next()?.split_whitespace();
            let state = after.next()?;
            let parent = after.next()?.parse().ok()?;
            (directory.starts_with(runs) && state != "Z").then_some((pid, parent, directory))
        })
        .collect()
}
