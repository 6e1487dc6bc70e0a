//! Cutting the power: a recorder of what a program writes and syncs, and a replayer that rebuilds what a cut at any moment could
//! leave on the disk.
//!
//! The model is strict: data counts as kept once its file was synced, a name once its folder was. Everything else may be there,
//! missing, torn in sectors of 512 bytes, or garbage. After a failed sync the data before it is never made safe by a later one.

mod replay;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use replay::{Damage, Replay};

use crate::{installed::installed, tools};

/// Records what programs do under one folder.
#[derive(Debug)]
pub struct Recorder {
    root: PathBuf,
    log: PathBuf,
    base: Vec<Base>,
    fail_sync: Option<usize>,
}

/// What was there before: it counts as safely on disk.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Folder(PathBuf),
    File { path: PathBuf, inode: u64, bytes: Vec<u8> },
}

impl Recorder {
    /// Takes note of what `root` holds; from here on only recorded programs may write there. `log` lies outside of it.
    #[must_use]
    pub fn new(root: &Path, log: &Path) -> Self {
        let root = root.canonicalize().unwrap();
        let mut base = Vec::new();
        collect(&root, &root, &mut base);
        let _fresh = File::create(log).unwrap();
        Self {
            root,
            log: log.to_owned(),
            base,
            fail_sync: None,
        }
    }

    /// The sync call with this number, from 1 in each process, fails with EIO.
    #[must_use]
    pub fn fail_sync(mut self, number: usize) -> Self {
        self.fail_sync = Some(number);
        self
    }

    /// Puts the command's program under the recorder.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("POWER_ROOT", &self.root)
            .env("POWER_LOG", &self.log);
        if let Some(number) = self.fail_sync {
            command.env("POWER_FAIL_SYNC", number.to_string());
        }
    }

    /// Notes that the program acknowledged `text`: a crash after this must not lose it. Call it once the answer was read.
    pub fn acknowledged(&self, text: &str) {
        acknowledged(&self.log, text);
    }

    /// The file of the record, for [`acknowledged`] from another thread.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Reads the record. The programs should have ended.
    #[must_use]
    pub fn finish(self) -> Trace {
        let bytes = std::fs::read(&self.log).unwrap();
        let events = parse(&bytes);
        Trace {
            root: self.root,
            base: self.base,
            bytes,
            events,
        }
    }
}

/// Notes in the record `log` that `text` was acknowledged.
pub fn acknowledged(log: &Path, text: &str) {
    let mut record = vec![b'A'];
    record.extend([0_u8; 16]);
    record.extend((text.len() as u64).to_le_bytes());
    record.extend(text.as_bytes());
    // One write to a file opened for appending: it cannot mix with the recorded program's.
    File::options()
        .append(true)
        .open(log)
        .unwrap()
        .write_all(&record)
        .unwrap();
}

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) op: u8,
    pub(crate) inode: u64,
    pub(crate) a: u64,
    pub(crate) payload: std::ops::Range<usize>,
}

/// Everything that was recorded.
#[derive(Debug)]
pub struct Trace {
    pub(crate) root: PathBuf,
    pub(crate) base: Vec<Base>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl Trace {
    /// How many calls were recorded: the power can be cut before the first, after the last, and in between.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many file syncs were recorded, failed ones included.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.events
            .iter()
            .filter(|event| matches!(event.op, b'S' | b'X'))
            .count()
    }

    /// Everything that was acknowledged, in order.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<String> {
        let acks = self.events.iter().filter(|event| event.op == b'A');
        acks.map(|event| String::from_utf8_lossy(&self.bytes[event.payload.clone()]).into_owned())
            .collect()
    }

    /// A cursor before the first call.
    #[must_use]
    pub fn replay(&self) -> Replay<'_> {
        Replay::new(self)
    }
}

fn parse(bytes: &[u8]) -> Vec<Event> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (mut events, mut at) = (Vec::new(), 0);
    while at + 25 <= bytes.len() {
        let start = at + 25;
        let end = start + usize::try_from(number(at + 17)).unwrap();
        if end > bytes.len() {
            break;
        }
        events.push(Event {
            op: bytes[at],
            inode: number(at + 1),
            a: number(at + 9),
            payload: start..end,
        });
        at = end;
    }
    events
}

fn collect(root: &Path, folder: &Path, base: &mut Vec<Base>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        let path = entry.path().strip_prefix(root).unwrap().to_owned();
        if about.is_dir() {
            base.push(Base::Folder(path));
            collect(root, &entry.path(), base);
        } else if about.is_file() {
            base.push(Base::File {
                path,
                inode: about.ino(),
                bytes: std::fs::read(entry.path()).unwrap(),
            });
        }
    }
}

/// The recorder as a library to preload, compiled when its source is newer.
fn library() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/power/recorder.c");
    let library = installed("").join("power-recorder.so");
    let age = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
    if age(&library) < age(&source) {
        // Compiled beside and renamed: tests of several processes may do this at once.
        let fresh = library.with_extension(std::process::id().to_string());
        let mut command = Command::new(tools::system("gcc"));
        command.args([
            "-std=gnu11",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-pthread",
            "-o",
        ]);
        tools::run(command.arg(&fresh).arg(source));
        std::fs::rename(fresh, &library).unwrap();
    }
    library
}
