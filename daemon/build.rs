//! Tells the binary which commit it was built from, as far as that is known without a network and without git: from
//! `WATCHKEEP_COMMIT`, which whoever packages it may set, else from the `.git` folder beside the sources. A tree without
//! either builds all the same. Only release builds ask: a working tree is at no commit, and each one would link anew.
#![expect(clippy::disallowed_methods, reason = "this is how a build script is spoken to")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Digits of a commit that are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WATCHKEEP_COMMIT");
    let said = env::var("WATCHKEEP_COMMIT").ok();
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = said.or_else(|| if release { of_tree() } else { None });
    let commit = commit.as_deref().map(str::trim).filter(|text| is_commit(text));
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match commit {
        Some(commit) => format!("{version} (commit {})", commit.chars().take(DIGITS).collect::<String>()),
        None => version,
    };
    println!("cargo:rustc-env=WATCHKEEP_VERSION={version}");
}

/// A text that could be anything must not get into the binary.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// The commit that `.git/HEAD` names. Source: gitrepository-layout(5).
fn of_tree() -> Option<String> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").ok()?).parent()?.to_owned();
    let git = folder_of(&root.join(".git"))?;
    let head = watched(&git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return Some(head);
    };
    // A worktree keeps its branches in the repository that it belongs to.
    let shared = fs::read_to_string(git.join("commondir")).ok();
    let common = shared.map_or_else(|| git.clone(), |path| git.join(path.trim()));
    watched(&common.join(name)).or_else(|| packed(&watched(&common.join("packed-refs"))?, name))
}

/// `.git` is a folder, or a file that says where it is.
fn folder_of(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let text = fs::read_to_string(git).ok()?;
    Some(git.parent()?.join(text.trim().strip_prefix("gitdir: ")?))
}

/// Reads a file, and asks to be run again when it changes, or comes to be: the next commit of a packed branch makes one.
fn watched(path: &Path) -> Option<String> {
    println!("cargo:rerun-if-changed={}", path.display());
    fs::read_to_string(path).ok()
}

fn packed(refs: &str, name: &str) -> Option<String> {
    let mut lines = refs.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|(_, packed)| *packed == name)
        .map(|(commit, _)| commit.to_owned())
}
