//! Room on a file system, asked before it is needed.

use std::path::Path;

use crate::failure::{Failure, Reason};

/// Left free for everybody else.
const RESERVE: u64 = 16 * 1024 * 1024;

/// Fails with `full` when the file system of `folder` has not this much room, and a little more.
pub(crate) fn require(folder: &Path, bytes: u64, full: Reason) -> Result<(), Failure> {
    let free = rustix::fs::statvfs(folder)
        .map(|found| found.f_bavail.saturating_mul(found.f_frsize))
        .map_err(|error| {
            Failure::caused(
                Reason::DestinationUnwritable,
                format!("looking at {}", folder.display()),
                error,
            )
        })?;
    if free < bytes.saturating_add(RESERVE) {
        let text = format!(
            "{} has {free} bytes free, needed are {bytes} and {RESERVE} to spare",
            folder.display()
        );
        return Err(Failure::new(full, text));
    }
    Ok(())
}
