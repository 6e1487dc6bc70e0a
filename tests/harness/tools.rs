//! Where the programs and packages are that `./test --prepare` installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed::installed;

/// The folder with the programs of the current build profile, such as `target/debug`.
#[must_use]
pub fn programs() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let folder = binary.parent().unwrap();
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.parent().unwrap().to_owned()
    } else {
        folder.to_owned()
    }
}

/// The root of the source tree.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file beside the harness's sources, such as a Python script.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/scripts").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The interpreter with the packages of `tests/requirements.txt`.
#[must_use]
pub fn python() -> PathBuf {
    installed("python/bin/python3")
}

/// A program that a Python package brought, such as `moto_server`.
#[must_use]
pub fn python_program(name: &str) -> PathBuf {
    installed(&format!("python/bin/{name}"))
}

/// The folder with the packages of `tests/package-lock.json`, for `NODE_PATH`.
#[must_use]
pub fn node_modules() -> PathBuf {
    installed("node_modules")
}

/// The S3 server that checks signatures.
#[must_use]
pub fn s3s_fs() -> PathBuf {
    installed("s3s/s3s-fs")
}

/// A program of the system; fails the test if it is not installed.
#[must_use]
pub fn system(name: &str) -> PathBuf {
    let places = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(places.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: run ./test --prepare"))
}

/// A command that runs as root: as it is when the tests already do, else through sudo.
#[must_use]
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(system(program));
    }
    let mut command = Command::new(system("sudo"));
    command.arg("-n").arg(system(program));
    command
}

/// Runs a command to its end and gives its standard output; fails the test unless it exits 0.
pub fn run(command: &mut Command) -> String {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{command:?} ended with {}: {said}{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    said
}
