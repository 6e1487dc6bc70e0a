//! Folders, listed by the library's walker. Every error it meets is ours to count.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustic_core::{
    ErrorKind, Excludes, LocalSource, LocalSourceFilterOptions, LocalSourceSaveOptions, ReadSource as _,
    ReadSourceEntry, RusticError,
    repofile::{Node, NodeType},
};

use super::entries::{Listed, Listing, Staged, metadata_of};
use crate::failure::{Failure, Reason};

/// One root of a folder source.
pub(crate) struct Root {
    path: PathBuf,
    walker: LocalSource,
}

impl Root {
    /// A root; the walk begins later.
    ///
    /// # Errors
    /// [`Reason::Invalid`] for a relative path or a pattern that is none, [`Reason::SourceMissing`].
    pub(crate) fn new(path: &Path, exclude: &[String]) -> Result<Self, Failure> {
        let invalid = |text: String| Failure::new(Reason::Invalid, text);
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(invalid(format!(
                "the path {} of a folder source is not absolute and plain",
                path.display()
            )));
        }
        // Without a trailing slash or a dot: the snapshot's paths are compared by components.
        let path: PathBuf = path.components().collect();
        if let Err(error) = fs::symlink_metadata(&path) {
            return Err(Failure::caused(
                Reason::SourceMissing,
                format!("looking for {}", path.display()),
                error,
            ));
        }
        // The library's patterns include; a leading "!" turns them round.
        let globs: Vec<String> = exclude.iter().map(|pattern| format!("!{pattern}")).collect();
        let excludes = Excludes::default().globs(globs);
        let (save, filter) = (LocalSourceSaveOptions::default(), LocalSourceFilterOptions::default());
        let walker = LocalSource::new(save, &excludes, &filter, &[&path]).map_err(|error| {
            invalid(format!(
                "an exclude pattern is wrong: {}",
                crate::repository::one_line(&error)
            ))
        })?;
        Ok(Self { path, walker })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The root itself (the library leaves it out and with it its rights, and an empty one altogether), then what is in it.
    pub(crate) fn entries(&self) -> Listing {
        let below = self.walker.entries().map(|entry| {
            let ReadSourceEntry { path, node, .. } = entry?;
            let open = Some(Staged {
                file: path.clone(),
                path: path.clone(),
            });
            Ok(ReadSourceEntry { path, node, open })
        });
        Box::new(root_entry(&self.path).into_iter().chain(below))
    }
}

fn root_entry(path: &Path) -> Option<Listed> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => metadata,
        // A file or a link: the walker lists it.
        Ok(_) => return None,
        Err(error) => {
            return Some(Err(RusticError::with_source(
                ErrorKind::InputOutput,
                "looking at a root of the source",
                error,
            )));
        }
    };
    let name = path.file_name()?;
    let node = Node::new_node(name, NodeType::Dir, metadata_of(&metadata));
    Some(Ok(ReadSourceEntry {
        path: path.to_owned(),
        node,
        open: None,
    }))
}
