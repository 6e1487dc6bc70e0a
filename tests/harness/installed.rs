//! Where the programs and packages are that `./test --prepare` installed. Tests of other crates include this file.

use std::path::PathBuf;

/// The path of what lies under this name in `test-tools`; empty gives the folder itself. It is looked for above the running
/// test binary: in a fresh clone that folder is there before Cargo marks `target` as its own.
pub(crate) fn installed(relative: &str) -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let mut places = binary
        .ancestors()
        .map(|folder| folder.join("test-tools").join(relative));
    places
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("test-tools/{relative} is missing: run ./test --prepare"))
}
