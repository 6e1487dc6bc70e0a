//! From a password to the master key, through restic's key files.

use std::sync::Arc;

use rustic_core::repofile::KeyFile;
use serde::Deserialize;

use super::{
    catalog::parse,
    crypto::Key,
    engine,
    guard::Guard,
    storage::{Kind, Object},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// restic uses 2^15; a key file that asks for more than 2^20 (1 GiB of memory) is none.
const LARGEST_COST: u32 = 1 << 20;

/// The repository's config, as far as we need it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) version: u32,
    pub(crate) id: Digest,
}

/// Tries every key file. One damaged key file does not shut out the other key.
///
/// # Errors
/// [`Reason::NotFound`] without a repository, [`Reason::WrongPassword`], [`Reason::Corrupt`].
pub(crate) fn unlock(guard: &Arc<Guard>, password: &str) -> Result<(Key, Config), Failure> {
    if guard.list(Kind::Config)?.is_empty() {
        return Err(Failure::new(
            Reason::NotFound,
            format!("there is no repository in {}", guard.location()),
        ));
    }
    let config = guard.read(&Object::config(), None)?;
    let mut damaged = None;
    for listed in guard.list(Kind::Key)? {
        let object = Object::new(Kind::Key, listed.name);
        match try_key(guard, &object, password) {
            Ok(None) => {}
            Ok(Some(key)) => match parse::<Config>(&Object::config(), &key, &config) {
                Ok(config) if (1..=2).contains(&config.version) => return Ok((key, config)),
                Ok(config) => {
                    let text = format!("the repository has version {}, known are 1 and 2", config.version);
                    return Err(Failure::new(Reason::Invalid, text));
                }
                Err(failure) => damaged = Some(failure),
            },
            Err(failure) if failure.reason() == Reason::Corrupt => damaged = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    let wrong = || {
        Failure::new(
            Reason::WrongPassword,
            format!("no key in {} opens with this password", guard.location()),
        )
    };
    Err(damaged.unwrap_or_else(wrong))
}

/// The master key, if this key file opens with the password.
fn try_key(guard: &Arc<Guard>, object: &Object, password: &str) -> Result<Option<Key>, Failure> {
    let content = guard.read_checked(object)?;
    let file: KeyFile = serde_json::from_slice(&content)
        .map_err(|error| Failure::caused(Reason::Corrupt, format!("reading {object}"), error))?;
    if file.kdf != "scrypt" || file.n == 0 || file.n > LARGEST_COST || file.r > 64 || file.p > 64 {
        return Err(Failure::new(
            Reason::Corrupt,
            format!("{object} asks for a key derivation that nobody writes"),
        ));
    }
    let opened = engine::call(guard, "deriving the key", || match file.key_from_password(&password) {
        Ok(key) => Ok(Some(key.to_keys())),
        // C001: the tag does not fit, the only thing that a wrong password does.
        Err(error) if error.is_code("C001") => Ok(None),
        Err(error) => Err(error),
    })?;
    Ok(opened.and_then(|(encrypt, k, r)| Key::from_parts(&encrypt, &k, &r)))
}
