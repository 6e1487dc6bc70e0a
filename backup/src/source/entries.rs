//! The entries of all sources as one sorted stream for the library.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustic_core::{
    ErrorKind, ReadSource, ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult,
    repofile::{Metadata, Node, NodeType},
};

use super::tally::{Counted, Shared};
use crate::{manifest::Content, run::Run};

/// A file that stands in the snapshot under another path than on disk.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    /// Where it lies.
    pub(crate) file: PathBuf,
    /// Where it stands in the snapshot.
    pub(crate) path: PathBuf,
}

/// An entry before anybody counts it.
pub(crate) type Listed = RusticResult<ReadSourceEntry<Staged>>;
/// The entries of one part.
pub(crate) type Listing = Box<dyn Iterator<Item = Listed> + Send>;

/// One root of a capture.
pub(crate) enum Part {
    Staged(Staged),
    Folder(Box<super::folder::Root>),
}

impl Part {
    fn path(&self) -> &Path {
        match self {
            Self::Staged(staged) => &staged.path,
            Self::Folder(root) => root.path(),
        }
    }
}

/// All parts, by path, none inside another.
pub(crate) struct Entries {
    parts: Vec<Part>,
    tally: Shared,
    run: Run,
}

impl Entries {
    /// Sorts the parts.
    ///
    /// # Errors
    /// Two paths of which one lies in the other.
    pub(crate) fn new(mut parts: Vec<Part>, tally: Shared, run: Run) -> Result<Self, (PathBuf, PathBuf)> {
        parts.sort_by(|a, b| a.path().cmp(b.path()));
        for pair in parts.windows(2) {
            if let [first, second] = pair
                && second.path().starts_with(first.path())
            {
                return Err((first.path().to_owned(), second.path().to_owned()));
            }
        }
        // The folders that lead to a source stand in the snapshot too.
        for part in &parts {
            for folder in part
                .path()
                .ancestors()
                .skip(1)
                .filter(|folder| folder.file_name().is_some())
            {
                tally.lock().manifest.insert(folder, Content::Folder);
            }
        }
        Ok(Self { parts, tally, run })
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.path().to_owned()).collect()
    }
}

/// A file that waits to be read.
pub(crate) struct Waiting {
    staged: Staged,
    tally: Shared,
    run: Run,
}

impl ReadSourceOpen for Waiting {
    type Reader = Counted;

    fn open(self) -> RusticResult<Counted> {
        let Self {
            staged: Staged { file, path },
            tally,
            run,
        } = self;
        Counted::open(&file, path.clone(), tally.clone(), run).map_err(|error| {
            tally.error(&path, format!("opening it: {error}"));
            RusticError::with_source(ErrorKind::InputOutput, "opening a file of the source", error)
        })
    }
}

impl ReadSource for Entries {
    type Open = Waiting;
    type Iter = Box<dyn Iterator<Item = RusticResult<ReadSourceEntry<Waiting>>> + Send>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let streams: Vec<Listing> = self
            .parts
            .iter()
            .map(|part| -> Listing {
                match part {
                    Part::Staged(staged) => Box::new(std::iter::once(staged_entry(staged))),
                    Part::Folder(root) => root.entries(),
                }
            })
            .collect();
        let (tally, run) = (self.tally.clone(), self.run.clone());
        let entries = streams.into_iter().flatten().map_while(move |entry| {
            // A cancelled run lists nothing more; the gate refuses what came of it.
            (!run.cancel.is_cancelled()).then(|| noted(entry, &tally, &run))
        });
        Box::new(entries)
    }
}

/// Notes an entry in the tally and makes its file one that counts.
fn noted(entry: Listed, tally: &Shared, run: &Run) -> RusticResult<ReadSourceEntry<Waiting>> {
    let entry = entry.inspect_err(|error| tally.error(Path::new(""), crate::repository::one_line(error)))?;
    let ReadSourceEntry { path, node, open } = entry;
    match &node.node_type {
        NodeType::File => tally.lock().files_offered += 1,
        NodeType::Dir => tally.lock().manifest.insert(&path, Content::Folder),
        NodeType::Symlink { .. } => {
            let target = node.node_type.to_link().as_os_str().as_bytes().to_vec();
            tally.lock().manifest.insert(&path, Content::Link(target));
        }
        _ => tally.lock().manifest.insert(&path, Content::Special),
    }
    let open = open.map(|staged| Waiting {
        staged,
        tally: tally.clone(),
        run: run.clone(),
    });
    Ok(ReadSourceEntry { path, node, open })
}

fn staged_entry(staged: &Staged) -> Listed {
    // Rights and times are those of the original, which may be gone by now.
    let length = fs::metadata(&staged.file).map(|metadata| metadata.len());
    let original = fs::metadata(&staged.path).or_else(|_| fs::metadata(&staged.file));
    let metadata = original
        .and_then(|original| Ok((original, length?)))
        .map_err(|error| RusticError::with_source(ErrorKind::InputOutput, "looking at the staging copy", error))?;
    let name = staged.path.file_name().unwrap_or_default();
    let mut meta = metadata_of(&metadata.0);
    meta.size = metadata.1;
    meta.links = 1;
    let node = Node::new_node(name, NodeType::File, meta);
    Ok(ReadSourceEntry {
        path: staged.path.clone(),
        node,
        open: Some(staged.clone()),
    })
}

/// The metadata that restic keeps, of a file or a folder.
pub(crate) fn metadata_of(found: &fs::Metadata) -> Metadata {
    let mode = found.permissions().mode();
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let mut go = special.iter().fold(
        mode & 0o777,
        |go, (bit, there)| if mode & bit == 0 { go } else { go | there },
    );
    if found.is_dir() {
        go |= 1 << 31;
    }
    let modified = found
        .modified()
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok());
    Metadata {
        mode: Some(go),
        mtime: modified,
        atime: modified,
        ctime: modified,
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        inode: found.ino(),
        size: if found.is_dir() { 0 } else { found.len() },
        ..Metadata::default()
    }
}
