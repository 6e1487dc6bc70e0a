//! Rebuilding what a power cut leaves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Base, Event, Trace};
use crate::random::Random;

/// The piece that a disk writes or does not write as a whole, in bytes.
const SECTOR: usize = 512;

/// What happens to writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// All of them are lost.
    DropAll,
    /// Each write is there or not.
    Drop,
    /// Each sector of each write is there or not.
    Torn,
    /// As torn, and a sector may hold garbage, also where it lies beside the bytes that were written.
    Garbage,
}

impl Damage {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::DropAll, Self::Drop, Self::Torn, Self::Garbage];
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Range<usize> },
    Size(usize),
}

#[derive(Debug, Clone, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Writes that a failed sync let go: no later sync makes them safe.
    orphaned: Vec<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Add(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
}

impl Naming {
    /// The folder whose sync makes it safe.
    fn folder(&self) -> &Path {
        let (Self::Add(path, _) | Self::Remove(path) | Self::Rename(_, path) | Self::Link(_, path)) = self;
        path.parent().unwrap_or(Path::new(""))
    }
}

type Names = BTreeMap<PathBuf, Node>;

/// A cursor over the record: what is safe on disk, and what is on its way, after so many calls.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    trace: &'a Trace,
    at: usize,
    contents: Vec<Content>,
    by_inode: BTreeMap<u64, usize>,
    durable: Names,
    current: Names,
    naming: Vec<Naming>,
    acknowledged: Vec<String>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        let (mut contents, mut by_inode, mut durable) = (Vec::new(), BTreeMap::new(), Names::new());
        for base in &trace.base {
            match base {
                Base::Folder(path) => {
                    durable.insert(path.clone(), Node::Folder);
                }
                Base::File { path, inode, bytes } => {
                    by_inode.insert(*inode, contents.len());
                    durable.insert(path.clone(), Node::File(contents.len()));
                    contents.push(Content {
                        durable: bytes.clone(),
                        ..Content::default()
                    });
                }
            }
        }
        let current = durable.clone();
        Self {
            trace,
            at: 0,
            contents,
            by_inode,
            durable,
            current,
            naming: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    /// Goes on until `at` calls have been made; never back.
    pub fn advance_to(&mut self, at: usize) {
        assert!(
            at >= self.at && at <= self.trace.len(),
            "a replay goes forward: from {} to {at}",
            self.at
        );
        let trace = self.trace;
        for event in &trace.events[self.at..at] {
            self.step(event);
        }
        self.at = at;
    }

    /// What had been acknowledged by then: none of it may be lost.
    #[must_use]
    pub fn acknowledged(&self) -> &[String] {
        &self.acknowledged
    }

    fn step(&mut self, event: &Event) {
        let payload = &self.trace.bytes[event.payload.clone()];
        let content = self.by_inode.get(&event.inode).copied();
        match (event.op, content) {
            (b'A', _) => self.acknowledged.push(String::from_utf8_lossy(payload).into_owned()),
            (b'O', _) => self.opened(event, payload),
            (b'W', Some(file)) => {
                let change = Change::Write {
                    offset: usize::try_from(event.a).unwrap(),
                    data: event.payload.clone(),
                };
                self.contents[file].pending.push(change);
            }
            (b'T', Some(file)) => self.contents[file]
                .pending
                .push(Change::Size(usize::try_from(event.a).unwrap())),
            (b'S', Some(file)) => self.contents[file].synced(&self.trace.bytes),
            (b'X', Some(file)) => {
                let let_go = std::mem::take(&mut self.contents[file].pending);
                self.contents[file].orphaned.extend(let_go);
            }
            (b'D', _) => self.folder_synced(&self.relative(payload)),
            (b'M', _) => self.name(Naming::Add(self.relative(payload), Node::Folder)),
            (b'U', _) => self.name(Naming::Remove(self.relative(payload))),
            (b'R' | b'L', _) => {
                let cut = payload.iter().position(|byte| *byte == 0).unwrap();
                let (old, new) = (self.relative(&payload[..cut]), self.relative(&payload[cut + 1..]));
                self.name(if event.op == b'R' {
                    Naming::Rename(old, new)
                } else {
                    Naming::Link(old, new)
                });
            }
            // A file that had no name when it was opened: a crash leaves nothing of it.
            _ => {}
        }
    }

    fn opened(&mut self, event: &Event, payload: &[u8]) {
        let path = self.relative(payload);
        match self.current.get(&path) {
            Some(Node::File(file)) if event.a == 0 => {
                self.by_inode.insert(event.inode, *file);
            }
            _ => {
                self.by_inode.insert(event.inode, self.contents.len());
                self.name(Naming::Add(path, Node::File(self.contents.len())));
                self.contents.push(Content::default());
            }
        }
    }

    fn relative(&self, path: &[u8]) -> PathBuf {
        let text = String::from_utf8_lossy(path).into_owned();
        Path::new(&text)
            .strip_prefix(&self.trace.root)
            .unwrap_or(Path::new(""))
            .to_owned()
    }

    fn name(&mut self, naming: Naming) {
        apply(&mut self.current, &naming);
        self.naming.push(naming);
    }

    fn folder_synced(&mut self, folder: &Path) {
        let (safe, open) = std::mem::take(&mut self.naming)
            .into_iter()
            .partition(|naming| naming.folder() == folder);
        self.naming = open;
        let safe: Vec<Naming> = safe;
        for naming in &safe {
            apply(&mut self.durable, naming);
        }
    }

    /// Writes into the empty or missing folder `into` what a power cut now could leave.
    pub fn crash(&self, random: &mut Random, damage: Damage, into: &Path) {
        let names = self.surviving_names(random, damage);
        std::fs::create_dir_all(into).unwrap();
        // Sorted by path: a folder comes before what is in it. What lies in a lost folder is lost.
        for (path, node) in &names {
            let target = into.join(path);
            if !target.parent().is_some_and(Path::is_dir) || path.to_string_lossy().ends_with("-shm") {
                continue;
            }
            match node {
                Node::Folder => std::fs::create_dir_all(&target).unwrap(),
                Node::File(file) => {
                    let bytes = self.contents[*file].damaged(&self.trace.bytes, random, damage);
                    std::fs::write(&target, bytes).unwrap();
                }
            }
        }
    }

    /// Of the names on their way a first part survives in each folder: folders are journalled in order.
    fn surviving_names(&self, random: &mut Random, damage: Damage) -> Names {
        let mut names = self.durable.clone();
        let mut ended: BTreeMap<&Path, bool> = BTreeMap::new();
        for naming in &self.naming {
            let ended = ended.entry(naming.folder()).or_insert(damage == Damage::DropAll);
            *ended |= random.chance(30);
            if !*ended {
                apply(&mut names, naming);
            }
        }
        names
    }
}

fn apply(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Add(path, node) => {
            names.insert(path.clone(), *node);
        }
        Naming::Remove(path) => {
            names.remove(path);
        }
        Naming::Link(old, new) => {
            if let Some(node) = names.get(old).copied() {
                names.insert(new.clone(), node);
            }
        }
        Naming::Rename(old, new) => {
            let moved: Vec<PathBuf> = names.keys().filter(|path| path.starts_with(old)).cloned().collect();
            for path in moved {
                let Some(node) = names.remove(&path) else { continue };
                let rest = path.strip_prefix(old).unwrap();
                let target = if rest.as_os_str().is_empty() {
                    new.clone()
                } else {
                    new.join(rest)
                };
                names.insert(target, node);
            }
        }
    }
}

impl Content {
    /// All that was pending is safe, and so is the file's size; bytes that a failed sync let go stay unsafe where nothing newer
    /// covers them.
    fn synced(&mut self, bytes: &[u8]) {
        let let_go = std::mem::take(&mut self.orphaned);
        let pending = std::mem::take(&mut self.pending);
        // What a failed sync let go are bytes; the size is the file system's own record, and goes with the next sync.
        for (change, let_go) in let_go
            .into_iter()
            .map(|change| (change, true))
            .chain(pending.into_iter().map(|change| (change, false)))
        {
            match &change {
                Change::Write { .. } if let_go => self.orphaned.push(change),
                Change::Write { offset, data } => {
                    put(&mut self.durable, &change, bytes);
                    let newer = *offset..offset + data.len();
                    self.orphaned = self.orphaned.drain(..).flat_map(|old| without(old, &newer)).collect();
                }
                Change::Size(size) => {
                    put(&mut self.durable, &change, bytes);
                    let beyond = *size..usize::MAX;
                    self.orphaned = self.orphaned.drain(..).flat_map(|old| without(old, &beyond)).collect();
                }
            }
        }
    }

    fn damaged(&self, bytes: &[u8], random: &mut Random, damage: Damage) -> Vec<u8> {
        let mut found = self.durable.clone();
        if damage == Damage::DropAll {
            return found;
        }
        // Now and then everything had reached the disk by itself.
        let all = random.chance(10);
        for change in self.orphaned.iter().chain(&self.pending) {
            match change {
                Change::Size(_) if all || random.chance(50) => put(&mut found, change, bytes),
                Change::Size(_) => {}
                Change::Write { .. } if all || damage == Damage::Drop => {
                    if all || random.chance(50) {
                        put(&mut found, change, bytes);
                    }
                }
                Change::Write { offset, data } => tear(&mut found, *offset, &bytes[data.clone()], random, damage),
            }
        }
        found
    }
}

fn put(content: &mut Vec<u8>, change: &Change, bytes: &[u8]) {
    match change {
        Change::Size(size) => content.resize(*size, 0),
        Change::Write { offset, data } => {
            content.resize(content.len().max(offset + data.len()), 0);
            content[*offset..offset + data.len()].copy_from_slice(&bytes[data.clone()]);
        }
    }
}

/// Lets each sector of a write reach the disk or not.
fn tear(content: &mut Vec<u8>, offset: usize, data: &[u8], random: &mut Random, damage: Damage) {
    for sector in offset / SECTOR..(offset + data.len()).div_ceil(SECTOR) {
        let whole = sector * SECTOR..(sector + 1) * SECTOR;
        let part = whole.start.max(offset)..whole.end.min(offset + data.len());
        if damage == Damage::Garbage && random.chance(15) {
            let end = whole.end.min(content.len().max(part.end));
            content.resize(content.len().max(end), 0);
            for byte in &mut content[whole.start..end] {
                *byte = random.bits().to_le_bytes()[0];
            }
        } else if random.chance(50) {
            content.resize(content.len().max(part.end), 0);
            content[part.clone()].copy_from_slice(&data[part.start - offset..part.end - offset]);
        }
    }
}

/// What is left of an old write where `newer` does not cover it.
fn without(old: Change, newer: &Range<usize>) -> Vec<Change> {
    let Change::Write { offset, data } = old else {
        return vec![old];
    };
    let span = offset..offset + data.len();
    if span.end <= newer.start || newer.end <= span.start {
        return vec![Change::Write { offset, data }];
    }
    let mut left = Vec::new();
    if span.start < newer.start {
        left.push(Change::Write {
            offset,
            data: data.start..data.start + (newer.start - span.start),
        });
    }
    if newer.end < span.end {
        left.push(Change::Write {
            offset: newer.end,
            data: data.start + (newer.end - span.start)..data.end,
        });
    }
    left
}
