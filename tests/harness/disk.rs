//! Disks of the test's own: small, and full at will.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::tools;

/// A file system in memory with a fixed size, mounted until it is dropped.
#[derive(Debug)]
pub struct Disk {
    /// Where it is mounted.
    pub folder: PathBuf,
}

impl Disk {
    /// Mounts an empty disk of so many MiB at `folder`, which is made.
    #[must_use]
    pub fn mount(folder: &Path, mib: u32) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let options = format!("size={mib}m,mode=0777");
        tools::run(
            tools::as_root("mount")
                .args(["-t", "tmpfs", "-o", &options, "watchkeep-test"])
                .arg(folder),
        );
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Gives it another size; what is on it stays.
    pub fn resize(&self, mib: u32) {
        let options = format!("remount,size={mib}m");
        tools::run(tools::as_root("mount").args(["-o", &options]).arg(&self.folder));
    }

    /// Fills it to the last block with a file of its own.
    pub fn fill(&self) {
        let mut file = File::create(self.folder.join("ballast")).unwrap();
        let mut size = 1024 * 1024;
        while size > 0 {
            // A short write leaves less than `size` free: go on in smaller steps, to the last byte.
            match file.write(&vec![0x5A; size]) {
                Ok(written) if written == size => {}
                _ => size /= 2,
            }
        }
    }

    /// Takes the ballast away.
    pub fn empty(&self) {
        std::fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a program that is just being killed may still hold a file.
        let _gone = tools::as_root("umount").arg("--lazy").arg(&self.folder).output();
    }
}
