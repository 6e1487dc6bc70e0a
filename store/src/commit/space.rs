//! A full disk: ordinary facts are refused in time, and the reserve keeps what must go on going.

use std::{path::PathBuf, time::Duration};

use tokio::time::Instant;

use crate::{Folder, Options, StoreError, chain_of, folder, folder::RESERVE_BYTES};

/// How often the free space is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches over the space of the data folder.
pub(super) struct SpaceGuard {
    folder: PathBuf,
    reserve: PathBuf,
    free_min_bytes: Option<u64>,
    looked: Option<Instant>,
    full: bool,
}

impl SpaceGuard {
    pub(super) fn new(folder: &Folder, options: &Options) -> Self {
        Self {
            folder: folder.path().to_owned(),
            reserve: folder.reserve_path(),
            free_min_bytes: options.free_min_bytes,
            looked: None,
            full: false,
        }
    }

    /// True while ordinary facts are to be refused.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// A commit found the disk full: gives the reserve to those that must go on. True when there was one.
    pub(super) fn ran_full(&mut self) -> bool {
        self.full = true;
        self.looked = Some(Instant::now());
        let released = std::fs::remove_file(&self.reserve).is_ok();
        tracing::error!(released, "the disk is full: ordinary facts are refused");
        released
    }

    /// Looks at the free space, at most once a second.
    pub(super) fn look(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        match self.has_room() {
            Ok(room) => {
                if self.full && room {
                    tracing::info!("there is room again: ordinary facts are taken");
                } else if !self.full && !room {
                    tracing::error!("the disk is nearly full: ordinary facts are refused");
                }
                self.full = !room;
            }
            Err(error) => tracing::warn!(error = %chain_of(&error), "the free space is not known"),
        }
    }

    /// Whether ordinary facts may be taken; makes the reserve again first.
    fn has_room(&self) -> Result<bool, StoreError> {
        let space = folder::space(&self.folder)?;
        let floor = space.floor_bytes(self.free_min_bytes);
        let missing = std::fs::metadata(&self.reserve).map_or(0, |file| file.len()) < RESERVE_BYTES;
        let needed = if missing {
            floor.saturating_add(RESERVE_BYTES)
        } else {
            floor
        };
        if space.free_bytes < needed {
            return Ok(false);
        }
        if missing && folder::make_reserve(&self.reserve).is_err() {
            return Ok(false);
        }
        Ok(true)
    }
}
