//! The library's view of the store, and ours of the library. No other module names `rustic_core` than these below
//! `repository` and `source/folder`; the convenience calls of the library are never used (`check`, `backup`, `restore`).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use rustic_core::{
    BytesList, Credentials, ErrorKind, FileType, Id, OpenStatus, ReadBackend, Repository, RepositoryBackends,
    RepositoryOptions, RusticError, RusticResult, WriteBackend, repofile::MasterKey,
};

use super::{
    crypto::Key,
    guard::Guard,
    storage::{Kind, Object},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// The library's back end: everything goes to the guard.
#[derive(Debug)]
struct Engine(Arc<Guard>);

fn kind(file: FileType) -> Kind {
    match file {
        FileType::Config => Kind::Config,
        FileType::Index => Kind::Index,
        FileType::Key => Kind::Key,
        FileType::Snapshot => Kind::Snapshot,
        FileType::Pack => Kind::Pack,
    }
}

pub(crate) fn digest(id: &Id) -> Digest {
    id.to_hex().as_str().parse().unwrap_or_default()
}

pub(crate) fn id(digest: &Digest) -> Id {
    Id::new(*digest.as_bytes())
}

fn object(file: FileType, id: &Id) -> Object {
    if file == FileType::Config {
        Object::config()
    } else {
        Object::new(kind(file), digest(id))
    }
}

fn rejected(failure: Failure) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "the store failed", failure)
}

impl ReadBackend for Engine {
    fn location(&self) -> String {
        self.0.location()
    }

    fn list_with_size(&self, file: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let listed = self.0.list(kind(file)).map_err(rejected)?;
        listed
            .into_iter()
            .map(|listed| {
                let too_large = || {
                    let text = format!("{} in {} is larger than 4 GiB", listed.name, kind(file).folder());
                    rejected(Failure::new(Reason::Corrupt, text))
                };
                Ok((id(&listed.name), u32::try_from(listed.size).map_err(|_| too_large())?))
            })
            .collect()
    }

    fn read_full(&self, file: FileType, id: &Id) -> RusticResult<Bytes> {
        self.0.read_checked(&object(file, id)).map_err(rejected)
    }

    fn read_partial(&self, file: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        self.0.read(&object(file, id), Some(range)).map_err(rejected)
    }

    fn warmup_path(&self, file: FileType, id: &Id) -> String {
        object(file, id).path()
    }
}

impl WriteBackend for Engine {
    fn create(&self) -> RusticResult<()> {
        self.0.create().map_err(rejected)
    }

    fn write_bytes(&self, file: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        let content = match content.slice() {
            [only] => only.clone(),
            parts => parts.concat().into(),
        };
        self.0.write(&object(file, id), content).map_err(rejected)
    }

    fn remove(&self, file: FileType, id: &Id, _: bool) -> RusticResult<()> {
        self.0.remove(&object(file, id)).map_err(rejected)
    }
}

/// The library over this store, without any cache: a cached read proves nothing.
pub(crate) fn closed(guard: &Arc<Guard>) -> Result<Repository<()>, Failure> {
    let backends = RepositoryBackends::new(Arc::new(Engine(Arc::clone(guard))), None);
    let options = RepositoryOptions::default().no_cache(true);
    call(guard, "preparing the repository", || {
        Repository::new(&options, &backends)
    })
}

/// The library, opened with the master key: no key derivation, so no 128 MiB.
pub(crate) fn open(guard: &Arc<Guard>, key: &Key) -> Result<Repository<OpenStatus>, Failure> {
    let closed = closed(guard)?;
    let credentials = Credentials::Masterkey(master_key(key));
    call(guard, "opening the repository", || closed.open(&credentials))
}

fn master_key(key: &Key) -> MasterKey {
    let (encrypt, k, r) = key.parts();
    let mut master = MasterKey::new();
    master.encrypt = encrypt;
    master.mac.k = k;
    master.mac.r = r;
    master
}

/// The key of an opened repository.
pub(crate) fn key_of(repository: &Repository<OpenStatus>) -> Result<Key, Failure> {
    let master = repository.key();
    Key::from_parts(&master.encrypt, &master.mac.k, &master.mac.r)
        .ok_or_else(|| Failure::new(Reason::Corrupt, "the master key has the wrong length"))
}

/// Calls the library. Its panics become failures, and its errors get back the type that the store gave them.
pub(crate) fn call<T>(guard: &Guard, doing: &str, call: impl FnOnce() -> RusticResult<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(typed(guard, doing, &error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.unwrap_or_else(|| "no text".to_owned());
            let failure = Failure::new(Reason::Panicked, format!("{doing}: the library panicked: {text}"));
            Err(guard.failed().unwrap_or(failure))
        }
    }
}

fn typed(guard: &Guard, doing: &str, error: &RusticError) -> Failure {
    if error.is_incorrect_password() {
        return Failure::new(
            Reason::WrongPassword,
            format!("no key in {} opens with this password", guard.location()),
        );
    }
    guard
        .last()
        .unwrap_or_else(|| Failure::new(Reason::Corrupt, format!("{doing}: {}", one_line(error))))
}

/// The library's message without its form: no blank lines, no addresses for reports.
pub(crate) fn one_line(error: &RusticError) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "Message:")
        .skip(1);
    let kept: Vec<&str> = lines
        .filter(|line| {
            !line.is_empty() && !line.starts_with("Some additional details") && !line.starts_with("We believe")
        })
        .filter(|line| !line.starts_with("http") && !line.starts_with("If you can") && !line.starts_with("Thank you"))
        .filter(|line| {
            !line.starts_with("(set 'RUST_BACKTRACE") && *line != "Backtrace:" && *line != "disabled backtrace"
        })
        .take(8)
        .collect();
    kept.join(" ")
}
