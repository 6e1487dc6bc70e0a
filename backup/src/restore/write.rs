//! Writing a plan to disk without trusting what lies there: no link is followed, nothing is written through one.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    failure::{Failure, Reason},
    repository::plan::{Entry, Piece, Plan, Shape},
};

/// Files kept open while packs are laid down.
const OPEN: usize = 64;

/// Whether the result must survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Scratch: gone soon anyway.
    Scratch,
    /// Every file and folder synced.
    Synced,
}

/// A folder that takes a restore.
#[derive(Debug)]
pub(crate) struct Target {
    root: PathBuf,
    replace: bool,
}

impl Target {
    /// Makes the folder if need be.
    ///
    /// # Errors
    /// [`Reason::DestinationNotEmpty`] unless `replace`.
    pub(crate) fn prepare(root: &Path, replace: bool) -> Result<Self, Failure> {
        let failed = |error| failure("preparing", root, error);
        match fs::read_dir(root) {
            Ok(mut entries) => {
                if entries.next().is_some() && !replace {
                    return Err(Failure::new(
                        Reason::DestinationNotEmpty,
                        format!("{} is not empty", root.display()),
                    ));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(root)
                    .map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        let root = fs::canonicalize(root).map_err(failed)?;
        Ok(Self { root, replace })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes all folders and empty files.
    pub(crate) fn begin<'a>(&'a self, plan: &'a Plan) -> Result<Files<'a>, Failure> {
        for entry in &plan.entries {
            let path = self.root.join(&entry.path);
            match entry.shape {
                Shape::Folder => self.make_folder(&path)?,
                Shape::File(_) => self.make_file(&path)?,
                Shape::Link(_) | Shape::Fifo | Shape::Special(_) => {}
            }
        }
        Ok(Files {
            target: self,
            plan,
            open: VecDeque::new(),
            omitted: Vec::new(),
        })
    }

    fn make_folder(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error| failure("making the folder", path, error);
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.replace => {
                // A link in a folder's place would lead out of the destination.
                let is_folder = fs::symlink_metadata(path).map_err(failed)?.is_dir();
                if is_folder {
                    Ok(())
                } else {
                    Err(failed(io::Error::other("something else stands there")))
                }
            }
            other => other.map_err(failed),
        }
    }

    fn make_file(&self, path: &Path) -> Result<(), Failure> {
        self.make_room(path)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map(drop)
            .map_err(|error| failure("making", path, error))
    }

    /// Removes what stands in the way, where that was asked for.
    fn make_room(&self, path: &Path) -> Result<(), Failure> {
        if !self.replace {
            return Ok(());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failure("replacing", path, error)),
            _ => Ok(()),
        }
    }
}

/// The files of a plan while their contents arrive.
pub(crate) struct Files<'a> {
    target: &'a Target,
    plan: &'a Plan,
    open: VecDeque<(u32, File)>,
    omitted: Vec<String>,
}

impl Files<'_> {
    /// Writes a piece where it belongs.
    pub(crate) fn write(&mut self, piece: &Piece, content: &[u8]) -> Result<(), Failure> {
        let path = || {
            self.entry(piece.entry)
                .map_or_else(PathBuf::new, |entry| self.target.root.join(&entry.path))
        };
        if let Some((_, file)) = self.open.iter().find(|(number, _)| *number == piece.entry) {
            return file
                .write_all_at(content, piece.at)
                .map_err(|error| failure("writing", &path(), error));
        }
        let path = path();
        let failed = |error| failure("writing", &path, error);
        let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        file.write_all_at(content, piece.at).map_err(failed)?;
        if self.open.len() >= OPEN {
            self.open.pop_front();
        }
        self.open.push_back((piece.entry, file));
        Ok(())
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.plan.entries.get(usize::try_from(number).ok()?)
    }

    /// Links, second names, rights and times; then everything is synced. Folders last and from below, because
    /// every entry that is made in one changes its time.
    pub(crate) fn finish(mut self, durability: Durability) -> Result<Vec<String>, Failure> {
        self.open.clear();
        let mut twins: BTreeMap<(u64, u64), &Path> = BTreeMap::new();
        for entry in &self.plan.entries {
            let path = self.target.root.join(&entry.path);
            match &entry.shape {
                Shape::Folder => {}
                Shape::File(bytes) => {
                    let first = entry.twin.map(|twin| *twins.entry(twin).or_insert(&entry.path));
                    if let Some(first) = first.filter(|first| *first != entry.path) {
                        self.join_names(first, &path)?;
                        continue;
                    }
                    self.finish_file(entry, &path, *bytes, durability)?;
                }
                Shape::Link(link) => {
                    self.target.make_room(&path)?;
                    std::os::unix::fs::symlink(link, &path).map_err(|error| failure("linking", &path, error))?;
                    self.own(entry, &path);
                    self.date(entry, &path);
                }
                Shape::Fifo => {
                    self.target.make_room(&path)?;
                    let mode = rustix::fs::Mode::from_raw_mode(entry.mode.unwrap_or(0o600));
                    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                        .map_err(|error| failure("making the pipe", &path, error.into()))?;
                    self.own(entry, &path);
                    self.date(entry, &path);
                }
                Shape::Special(kind) => self.omitted.push(format!("/{} ({kind})", entry.path.display())),
            }
        }
        self.finish_folders(durability)?;
        Ok(self.omitted)
    }

    /// Gives a file its second name. When both were captured, both contents were equal.
    fn join_names(&self, first: &Path, second: &Path) -> Result<(), Failure> {
        let first = self.target.root.join(first);
        let failed = |error| failure("linking", second, error);
        let (one, two) = (
            fs::metadata(&first).map_err(failed)?,
            fs::metadata(second).map_err(failed)?,
        );
        if one.len() != two.len() {
            // It was written to between its two readings: both readings stay.
            return Ok(());
        }
        fs::remove_file(second).map_err(failed)?;
        fs::hard_link(&first, second).map_err(failed)
    }

    fn finish_file(&mut self, entry: &Entry, path: &Path, bytes: u64, durability: Durability) -> Result<(), Failure> {
        let failed = |error| failure("finishing", path, error);
        let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length != bytes {
            let text = format!(
                "{} has {length} bytes after the restore instead of {bytes}",
                path.display()
            );
            return Err(Failure::new(Reason::Mismatch, text));
        }
        // The owner first: changing it clears the set-user-id bit.
        self.own(entry, path);
        self.attach(entry, path);
        set_mode_and_time(&file, entry).map_err(failed)?;
        if durability == Durability::Synced {
            file.sync_all().map_err(failed)?;
        }
        Ok(())
    }

    fn finish_folders(&mut self, durability: Durability) -> Result<(), Failure> {
        for entry in self
            .plan
            .entries
            .iter()
            .rev()
            .filter(|entry| entry.shape == Shape::Folder)
        {
            let path = self.target.root.join(&entry.path);
            let failed = |error| failure("finishing the folder", &path, error);
            self.own(entry, &path);
            self.attach(entry, &path);
            let folder = File::open(&path).map_err(failed)?;
            set_mode_and_time(&folder, entry).map_err(failed)?;
            if durability == Durability::Synced {
                folder.sync_all().map_err(failed)?;
            }
        }
        if durability == Durability::Synced {
            let root = &self.target.root;
            for folder in [Some(root.as_path()), root.parent()].into_iter().flatten() {
                File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| failure("syncing", folder, error))?;
            }
        }
        Ok(())
    }

    fn own(&mut self, entry: &Entry, path: &Path) {
        if let Some((user, group)) = entry.owner
            && let Err(error) = std::os::unix::fs::lchown(path, Some(user), Some(group))
        {
            self.omitted
                .push(format!("/{}: owner {user}:{group}: {error}", entry.path.display()));
        }
    }

    /// The time of what cannot be opened: a link itself, a pipe.
    fn date(&mut self, entry: &Entry, path: &Path) {
        let Some(modified) = entry.modified else { return };
        let time = rustix::fs::Timespec {
            tv_sec: modified.as_second(),
            tv_nsec: modified.subsec_nanosecond().into(),
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        if let Err(error) = rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags) {
            self.omitted.push(format!("/{}: time: {error}", entry.path.display()));
        }
    }

    fn attach(&mut self, entry: &Entry, path: &Path) {
        for (name, value) in &entry.attributes {
            let set = rustix::fs::lsetxattr(path, name.as_str(), value, rustix::fs::XattrFlags::empty());
            if let Err(error) = set {
                self.omitted
                    .push(format!("/{}: attribute {name}: {error}", entry.path.display()));
            }
        }
    }
}

fn set_mode_and_time(file: &File, entry: &Entry) -> io::Result<()> {
    if let Some(mode) = entry.mode {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    if let Some(modified) = entry.modified {
        let time = std::time::SystemTime::from(modified);
        file.set_times(fs::FileTimes::new().set_modified(time).set_accessed(time))?;
    }
    Ok(())
}

fn failure(doing: &str, path: &Path, error: io::Error) -> Failure {
    Failure::writing(Reason::DestinationFull, format!("{doing} {}", path.display()), error)
}
