//! What a snapshot holds: its entries, and for every file the blobs that make it, by pack.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use rustic_core::repofile::{Node, NodeType, Tree};

use super::{catalog::BlobKind, packs::Packs};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Folder,
    /// A file of this many bytes.
    File(u64),
    Link(PathBuf),
    Fifo,
    /// A socket or a device: never restored, always listed.
    Special(&'static str),
}

/// One entry of a snapshot; the path is relative to the snapshot's root.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) shape: Shape,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) modified: Option<jiff::Timestamp>,
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
    /// Device and inode when the file had several names.
    pub(crate) twin: Option<(u64, u64)>,
}

/// A blob's place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Piece {
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    /// The file, by position in the entries.
    pub(crate) entry: u32,
    /// Where in the file, in bytes.
    pub(crate) at: u64,
}

/// A snapshot, laid out.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Folders before what is in them.
    pub(crate) entries: Vec<Entry>,
    /// By pack and offset: each pack is read once.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Damage met while walking; only a tolerant walk goes on.
    pub(crate) damage: Vec<Failure>,
}

impl Plan {
    /// Walks the trees below `root`. `only`: entries at or below this path (absolute, as in the snapshot), and the folders
    /// that lead there. `tolerant`: goes on behind damage and lists it.
    ///
    /// # Errors
    /// Damage, unless `tolerant`; what the store said.
    pub(crate) fn make(
        packs: &mut Packs<'_>,
        root: Digest,
        only: Option<&Path>,
        tolerant: bool,
    ) -> Result<Self, Failure> {
        let only = only.map(|path| path.strip_prefix("/").unwrap_or(path));
        let mut plan = Self::default();
        let mut waiting = vec![(PathBuf::new(), root)];
        while let Some((path, tree)) = waiting.pop() {
            match read_tree(packs, &path, &tree) {
                Ok(nodes) => {
                    let below = nodes.into_iter().map(|node| (path.join(node.name()), node));
                    for (path, node) in below.filter(|(path, node)| is_wanted(path, node, only)) {
                        plan.add(packs, path, node, &mut waiting)
                            .or_else(|failure| plan.tolerate(failure, tolerant))?;
                    }
                }
                Err(failure) => plan.tolerate(failure, tolerant)?,
            }
        }
        plan.pieces.sort_unstable();
        Ok(plan)
    }

    fn tolerate(&mut self, failure: Failure, tolerant: bool) -> Result<(), Failure> {
        if !tolerant || failure.reason() != Reason::Corrupt {
            return Err(failure);
        }
        self.damage.push(failure);
        Ok(())
    }

    fn add(
        &mut self,
        packs: &Packs<'_>,
        path: PathBuf,
        node: Node,
        waiting: &mut Vec<(PathBuf, Digest)>,
    ) -> Result<(), Failure> {
        if node.is_dir() {
            let subtree = node
                .subtree
                .ok_or_else(|| damaged(&path, "is a folder without a tree"))?;
            waiting.push((path.clone(), super::engine::digest(&subtree.into_inner())));
        }
        let shape = match node.node_type {
            NodeType::Dir => Shape::Folder,
            NodeType::File => Shape::File(self.lay_out(packs, &path, &node)?),
            NodeType::Symlink { .. } => Shape::Link(node.node_type.to_link().to_owned()),
            NodeType::Fifo => Shape::Fifo,
            NodeType::Dev { .. } => Shape::Special("block device"),
            NodeType::Chardev { .. } => Shape::Special("character device"),
            NodeType::Socket => Shape::Special("socket"),
        };
        self.entries.push(entry(path, shape, node));
        Ok(())
    }

    /// Places the blobs of a file; returns its length.
    fn lay_out(&mut self, packs: &Packs<'_>, path: &Path, node: &Node) -> Result<u64, Failure> {
        let number = u32::try_from(self.entries.len()).map_err(|_| damaged(path, "is one entry too many"))?;
        let mut at = 0;
        for id in node.content.iter().flatten() {
            let blob = packs.place(BlobKind::Data, &super::engine::digest(&id.into_inner()))?;
            self.pieces.push(Piece {
                pack: blob.pack,
                offset: blob.offset,
                entry: number,
                at,
            });
            at += blob.content_length();
        }
        self.files += 1;
        self.bytes += at;
        Ok(at)
    }

    /// The packs that hold the files, each once.
    pub(crate) fn packs(&self) -> BTreeSet<u32> {
        self.pieces.iter().map(|piece| piece.pack).collect()
    }

    /// The pieces that lie in this pack.
    pub(crate) fn pieces_of(&self, pack: u32) -> BTreeMap<u32, Vec<Piece>> {
        let from = self.pieces.partition_point(|piece| piece.pack < pack);
        let mut pieces: BTreeMap<u32, Vec<Piece>> = BTreeMap::new();
        for piece in self.pieces.iter().skip(from).take_while(|piece| piece.pack == pack) {
            pieces.entry(piece.offset).or_default().push(*piece);
        }
        pieces
    }
}

/// What stands at or below `only`, and the folders that lead there.
fn is_wanted(path: &Path, node: &Node, only: Option<&Path>) -> bool {
    only.is_none_or(|only| path.starts_with(only) || (node.is_dir() && only.starts_with(path)))
}

/// Reads a tree and refuses names that would lead out of the folder or stand twice.
fn read_tree(packs: &mut Packs<'_>, path: &Path, id: &Digest) -> Result<Vec<Node>, Failure> {
    let content = packs.tree(id)?;
    let tree: Tree = serde_json::from_slice(&content).map_err(|error| {
        Failure::caused(
            Reason::Corrupt,
            format!("reading the tree of /{}", path.display()),
            error,
        )
    })?;
    let mut names = BTreeSet::new();
    for node in &tree.nodes {
        let name = node.name().into_owned();
        if !is_plain(&name) {
            return Err(damaged(
                path,
                &format!("holds an entry with the name {}", name.display()),
            ));
        }
        if !names.insert(name) {
            return Err(damaged(path, &format!("holds {} twice", node.name().display())));
        }
    }
    Ok(tree.nodes)
}

fn is_plain(name: &OsStr) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!(components.next(), Some(Component::Normal(only)) if only == name);
    one && components.next().is_none() && !name.as_bytes().contains(&0)
}

fn damaged(path: &Path, what: &str) -> Failure {
    Failure::new(Reason::Corrupt, format!("/{} {what}", path.display()))
}

fn entry(path: PathBuf, shape: Shape, node: Node) -> Entry {
    let meta = node.meta;
    let several = matches!(shape, Shape::File(_)) && meta.links > 1;
    Entry {
        path,
        shape,
        mode: meta.mode.map(permissions),
        owner: meta.uid.zip(meta.gid),
        modified: meta.mtime,
        attributes: meta
            .extended_attributes
            .into_iter()
            .filter_map(|a| Some((a.name, a.value?)))
            .collect(),
        twin: several.then_some((meta.device_id, meta.inode)),
    }
}

/// restic keeps modes in Go's spelling (`io/fs.FileMode`): the three special bits lie elsewhere.
fn permissions(go: u32) -> u32 {
    const SET_USER: u32 = 1 << 23;
    const SET_GROUP: u32 = 1 << 22;
    const STICKY: u32 = 1 << 20;
    let special = [(SET_USER, 0o4000), (SET_GROUP, 0o2000), (STICKY, 0o1000)];
    special.iter().fold(
        go & 0o777,
        |mode, (bit, here)| if go & bit == 0 { mode } else { mode | here },
    )
}

impl Shape {
    /// Length of a file.
    pub(crate) fn bytes(&self) -> Option<u64> {
        if let Self::File(bytes) = self {
            Some(*bytes)
        } else {
            None
        }
    }
}
