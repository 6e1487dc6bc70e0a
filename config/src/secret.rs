//! Secrets: a place in the file, a value only in the hand that needs it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use zeroize::Zeroizing;

use crate::mistake::explained;

/// What a wrong secret is told; the reader recognises it, and hides the value in the line that it shows.
pub(crate) const NOT_A_PLACE: &str = "a secret is a place, never a value";
pub(crate) const PLACES: &[&str] = &["env", "file", "credential"];
const WAYS: &str = "{ env = \"NAME\" }, { file = \"/run/secrets/name\" } or { credential = \"name\" } (systemd)";
const SIZE_MAX: usize = 64 * 1024;

/// Where a secret is to be found: `{ env = "X" }`, `{ file = "/run/secrets/x" }` or `{ credential = "x" }` (a file in
/// systemd's `$CREDENTIALS_DIRECTORY`). Prints and serialises as the place; only [`Secret::read`] sees the value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Secret(Place);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Env(String),
    File(PathBuf),
    Credential(String),
}

/// A secret's value: wiped from memory when dropped, and never printed. Read it late, keep it short.
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// The value itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

/// Why a secret could not be read. Names the place, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nothing is there.
    #[error("read the secret {secret}: {why}")]
    Missing {
        /// The place.
        secret: Secret,
        /// What is missing.
        why: String,
    },
    /// The file is there and cannot be read.
    #[error("read the secret {secret}")]
    Unreadable {
        /// The place.
        secret: Secret,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others on this machine can read or change the file.
    #[error("read the secret {secret}: its permissions {mode:04o} let others at it; run: chmod 600 {}", .path.display())]
    Exposed {
        /// The place.
        secret: Secret,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is there cannot be a secret: empty, too large, no text, no regular file.
    #[error("read the secret {secret}: {why}")]
    Unusable {
        /// The place.
        secret: Secret,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Secret {
    /// The secret in an environment variable of the daemon.
    pub fn env(name: impl Into<String>) -> Self {
        Self(Place::Env(name.into()))
    }

    /// The secret in a file; a relative path starts where the daemon was started.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// The secret in a credential that systemd hands to the daemon.
    pub fn credential(name: impl Into<String>) -> Self {
        Self(Place::Credential(name.into()))
    }

    /// The file, when it is a file.
    pub fn file_path(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            _ => None,
        }
    }

    /// Reads the value, each time anew, so that a rotated secret is seen.
    ///
    /// One newline at the end of a file is left out. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// When nothing is there, the file cannot be read, is open to others, or does not hold 1 byte to 64 KiB of UTF-8.
    pub fn read(&self) -> Result<SecretValue, SecretError> {
        match &self.0 {
            Place::Env(name) => self.read_environment(name),
            Place::File(path) => self.read_file(path),
            Place::Credential(name) => match environment("CREDENTIALS_DIRECTORY") {
                Some(folder) => self.read_file(&Path::new(&folder).join(name)),
                None => Err(self.missing(format!(
                    "$CREDENTIALS_DIRECTORY is not set; add `LoadCredential={name}:/path/to/file` to the systemd unit"
                ))),
            },
        }
    }

    /// How to put a value there, for the process that reads it.
    pub fn remedy(&self) -> String {
        match &self.0 {
            Place::Env(name) => format!(
                "set {name} where this is started: in a shell `export {name}='…'`, for the daemon under systemd a line \
                 {name}=… in a file that its unit names with EnvironmentFile= (the variables of your shell do not reach it); or \
                 name a file instead: {{ file = \"/path\" }}"
            ),
            Place::File(path) => format!("write it into {0}, then `chmod 600 {0}`", path.display()),
            Place::Credential(name) => format!(
                "add `LoadCredential={name}:/path/to/file` to the systemd unit; what is started by hand does not see it"
            ),
        }
    }

    fn missing(&self, why: impl Into<String>) -> SecretError {
        SecretError::Missing {
            secret: self.clone(),
            why: why.into(),
        }
    }

    fn unusable(&self, why: &'static str) -> SecretError {
        SecretError::Unusable {
            secret: self.clone(),
            why,
        }
    }

    fn unreadable(&self, source: io::Error) -> SecretError {
        SecretError::Unreadable {
            secret: self.clone(),
            source,
        }
    }

    fn read_environment(&self, name: &str) -> Result<SecretValue, SecretError> {
        let value =
            environment(name).ok_or_else(|| self.missing(format!("the environment variable {name} is not set")))?;
        let value = value.into_string().map_err(|_| self.unusable("it is not UTF-8"))?;
        self.checked(Zeroizing::new(value))
    }

    fn read_file(&self, path: &Path) -> Result<SecretValue, SecretError> {
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => self.missing(format!("there is no file {}", path.display())),
            _ => self.unreadable(source),
        })?;
        if !metadata.is_file() {
            return Err(self.unusable("it is not a regular file"));
        }
        let file = fs::File::open(path).map_err(|source| self.unreadable(source))?;
        let metadata = file.metadata().map_err(|source| self.unreadable(source))?;
        // Root may share with a group: so a service that does not run as root gets at it.
        let closed_to = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & closed_to != 0 {
            let mode = metadata.mode() & 0o777;
            return Err(SecretError::Exposed {
                secret: self.clone(),
                path: path.to_owned(),
                mode,
            });
        }
        // Large enough from the start: growing would leave copies behind that nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(SIZE_MAX + 2));
        file.take(SIZE_MAX as u64 + 2)
            .read_to_end(&mut bytes)
            .map_err(|source| self.unreadable(source))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.unusable("it is not UTF-8"))?;
        let text = text
            .strip_suffix('\n')
            .map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        self.checked(Zeroizing::new(text.to_owned()))
    }

    fn checked(&self, value: Zeroizing<String>) -> Result<SecretValue, SecretError> {
        if value.is_empty() {
            Err(self.unusable("it is empty"))
        } else if value.len() > SIZE_MAX {
            Err(self.unusable("it is larger than 64 KiB"))
        } else {
            Ok(SecretValue(value))
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one door through which secrets come in"
)]
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Env(name) => write!(formatter, "{{ env = {name:?} }}"),
            Place::File(path) => write!(formatter, "{{ file = {:?} }}", path.to_string_lossy()),
            Place::Credential(name) => write!(formatter, "{{ credential = {name:?} }}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }
}

struct PlaceVisitor;

impl PlaceVisitor {
    fn refuse<E: de::Error>() -> E {
        E::custom(explained(NOT_A_PLACE, format!("write where it is found: {WAYS}")))
    }
}

impl<'de> de::Visitor<'de> for PlaceVisitor {
    type Value = Secret;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a place of a secret: {WAYS}")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
        Err(Self::refuse())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(Self::refuse())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(Self::refuse())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let mut place = None;
        while let Some(key) = map.next_key::<PlaceKey>()? {
            let text = map.next_value::<String>()?;
            let next = key
                .with(text)
                .map_err(|why| de::Error::custom(explained(why, format!("write {WAYS}"))))?;
            if place.replace(next).is_some() {
                return Err(de::Error::custom(explained(
                    "a secret has one place, not two",
                    format!("write {WAYS}"),
                )));
            }
        }
        place
            .map(Secret)
            .ok_or_else(|| de::Error::custom(explained("no place of a secret is given", format!("write {WAYS}"))))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum PlaceKey {
    Env,
    File,
    Credential,
}

impl PlaceKey {
    fn with(self, text: String) -> Result<Place, &'static str> {
        let is_name = !text.is_empty() && !text.contains(['=', '\0', '/', '$', ' ']) && text != "." && text != "..";
        match self {
            Self::Env if is_name => Ok(Place::Env(text)),
            Self::Env => Err("this is no name of an environment variable"),
            Self::File if !text.is_empty() && !text.contains('\0') => Ok(Place::File(PathBuf::from(text))),
            Self::File => Err("the path of the secret's file is empty"),
            Self::Credential if is_name => Ok(Place::Credential(text)),
            Self::Credential => Err("this is no name of a systemd credential"),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let place = |key: &str, what: &str, example: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { key: { "type": "string", "minLength": 1, "description": what, "examples": [example] } },
                "required": [key],
                "additionalProperties": false
            })
        };
        json_schema!({
            "description": "Where a secret is found; never the secret itself.",
            "oneOf": [
                place("env", "The environment variable that holds it.", "SMTP_URL"),
                place("file", "The file that holds it; others must not be able to read it.", "/run/secrets/smtp"),
                place("credential", "The systemd credential that holds it (LoadCredential=).", "smtp")
            ]
        })
    }
}

#[cfg(test)]
mod tests;
