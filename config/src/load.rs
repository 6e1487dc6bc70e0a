//! Reading a file into a type, with every mistake at once.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::deserialize::{GUESSES_MAX, Reader};
use crate::fault::{Fault, What};
use crate::mistake::{MISTAKES_MAX, Mistake, Mistakes, suggest};
use crate::syntax;
use crate::tree::{Entry, Node, Step, Value};
use crate::wording;

/// The largest file that is read.
const SIZE_MAX: usize = 1024 * 1024;
/// How often reading is tried anew. A mistake takes one round, reading on behind it at most a few dozen.
const ROUNDS_MAX: usize = 1000;

/// A configuration text and the path that messages show.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The path shown in messages.
    pub path: PathBuf,
    /// The text.
    pub text: String,
}

/// Why a configuration file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system said no.
    #[error("read the configuration {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More than 1 MiB.
    #[error("read the configuration {}: it is larger than 1 MiB", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not UTF-8.
    #[error("read the configuration {}: line {line} is not UTF-8", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the first wrong byte, counted from one.
        line: usize,
    },
}

impl fmt::Debug for Source {
    /// Without the text: it may hold what should have been a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Source({}, {} bytes)", self.path.display(), self.text.len())
    }
}

impl Source {
    /// A text that comes from no file; `name` stands where messages show a path.
    pub fn new(name: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            path: name.into(),
            text: text.into(),
        }
    }

    /// Reads a file of at most 1 MiB. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(SIZE_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() > SIZE_MAX {
            return Err(SourceError::TooLarge { path: path.to_owned() });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error
                .as_bytes()
                .get(..error.utf8_error().valid_up_to())
                .unwrap_or_default();
            let line = good.split(|byte| *byte == b'\n').count();
            SourceError::NotText {
                path: path.to_owned(),
                line,
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }
}

/// Writes settings as TOML that [`load`] reads back: how they travel to another process. Secrets go as their places.
///
/// # Errors
/// When they hold something that TOML cannot say.
pub fn text_of<T: serde::Serialize>(settings: &T) -> Result<String, toml::ser::Error> {
    toml::to_string(settings)
}

/// Reads a TOML text into a type, and finds every mistake: syntax, unknown keys (also where the type does not refuse
/// them), wrong types, bad units, what is missing, what is there twice.
///
/// # Errors
/// All mistakes, at least one and about a hundred at most.
pub fn load<T: DeserializeOwned>(source: &Source) -> Result<T, Mistakes> {
    match load_partial(source) {
        (Some(value), mistakes) if mistakes.is_empty() => Ok(value),
        (None, mistakes) if mistakes.is_empty() => Err(Mistakes::new(
            source,
            vec![Mistake::new(
                "the file cannot be read, for a reason that nobody foresaw",
            )],
        )),
        (_, mistakes) => Err(Mistakes::new(source, mistakes)),
    }
}

/// Like [`load`], but returns also what could be read, so that checks of cross-references can be told together with the
/// rest.
///
/// When there are mistakes, the value is good for such checks only: what was wrong has its default or, where there is
/// none, a made-up value. A [`Located`](crate::Located) of a made-up value has the place of a mistake that was told
/// already, and [`Mistakes::new`] leaves out what is said about that place again. There is no value when whole sections
/// were unreadable.
pub fn load_partial<T: DeserializeOwned>(source: &Source) -> (Option<T>, Vec<Mistake>) {
    if source.text.len() > SIZE_MAX {
        return (
            None,
            vec![Mistake::new("the file is larger than 1 MiB").help("is it the right file?")],
        );
    }
    let parsed = syntax::parse(&source.text);
    let mut repair = Repair {
        root: parsed.root,
        mistakes: parsed.mistakes,
        missing: Vec::new(),
    };
    let mut value = None;
    for _ in 0..ROUNDS_MAX {
        match T::deserialize(Reader::new(&repair.root)) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(fault) => {
                if repair.is_full() || !repair.mend(fault) {
                    break;
                }
            }
        }
    }
    (value.filter(|_| !parsed.lost_sections), repair.into_mistakes())
}

fn touch(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.start <= right.end && right.start <= left.end
}

/// The tree under repair, and what was found wrong with it.
struct Repair {
    root: Node,
    mistakes: Vec<Mistake>,
    /// Tables in which something is missing, with what: one mistake a table.
    missing: Vec<(Vec<Step>, Vec<&'static str>, Mistake)>,
}

impl Repair {
    fn is_full(&self) -> bool {
        self.mistakes.len() + self.missing.len() >= MISTAKES_MAX
    }

    /// Notes a fault unless it follows from another, and changes the tree so that reading gets past it.
    /// False when there is no way on.
    fn mend(&mut self, fault: Fault) -> bool {
        let is_at_key = fault.is_at_key();
        let (what, path) = fault.into_parts();
        if self.root.is_guessed_at(&path) {
            return match what {
                What::Missing(field) if self.fill(&path, field) => true,
                _ => self.guess_again(&path),
            };
        }
        if let What::Missing(field) = what {
            self.note_missing(&path, field);
            return self.fill(&path, field) || self.cut(&what, &path, is_at_key);
        }
        let mistake = wording::mistake(&what, &path, is_at_key, &self.root);
        if let Some(hidden) = &mistake.hidden {
            // What was said about the syntax of a secret's value might show it.
            self.mistakes
                .retain(|other| !other.span.as_ref().is_some_and(|span| touch(span, hidden)));
        }
        if mistake.hidden.is_some() || !self.is_echo(&what, &path) {
            self.mistakes.push(mistake);
        }
        self.cut(&what, &path, is_at_key)
    }

    /// A complaint about a value in which something was wrong already, or that could not even be parsed.
    fn is_echo(&self, what: &What, path: &[Step]) -> bool {
        let Some(node) = self.root.at(path) else { return false };
        let concerns_all = matches!(
            what,
            What::Said(_) | What::Expected(..) | What::NoKind(_) | What::Missing(_)
        );
        concerns_all && (node.is_broken || !node.lost.is_empty())
    }

    fn note_missing(&mut self, path: &[Step], field: &'static str) {
        let Some(table) = self.root.at(path) else { return };
        if table.is_broken || table.lost.iter().any(|lost| lost == field) {
            return;
        }
        match self.missing.iter_mut().find(|(known, ..)| known == path) {
            Some((_, fields, _)) => fields.push(field),
            None => {
                let mistake = wording::mistake(&What::Missing(field), path, false, &self.root);
                self.missing.push((path.to_vec(), vec![field], mistake));
            }
        }
    }

    /// Puts a guess where something is missing; false when it is there already.
    fn fill(&mut self, path: &[Step], field: &str) -> bool {
        let Some(table) = self.root.at_mut(path) else {
            return false;
        };
        let span = table.span.clone();
        if let Value::Guess(_) = table.value {
            table.value = Value::Table(Vec::new());
        }
        match &mut table.value {
            Value::Table(entries) if entries.iter().all(|entry| entry.key != field) => {
                entries.push(Entry {
                    key: field.to_owned(),
                    key_span: span.clone(),
                    node: Node::guess(span),
                });
                true
            }
            _ => false,
        }
    }

    /// The guess did not suit: try the next, and after the last give up the table that wanted it.
    fn guess_again(&mut self, path: &[Step]) -> bool {
        if let Some(node) = self.root.at_mut(path)
            && let Value::Guess(attempt) = &mut node.value
            && *attempt < GUESSES_MAX
        {
            *attempt += 1;
            return true;
        }
        let mut table = path;
        while let Some((_, parent)) = table.split_last() {
            table = parent;
            if !self.root.is_guessed_at(table) {
                return self.root.remove(table, None);
            }
        }
        false
    }

    /// Cuts out what is wrong. An entry whose key the user chose stays as a guess, so that nobody misses its name.
    fn cut(&mut self, what: &What, path: &[Step], is_at_key: bool) -> bool {
        if let (Some(Step::Key(_)), false) = (path.last(), is_at_key)
            && let Some(node) = self.root.at_mut(path)
        {
            *node = Node::guess(node.span.clone());
            return true;
        }
        let meant = match (what, path.last()) {
            (What::UnknownKey(known) | What::UnknownChoice(_, known), Some(Step::Field(word))) if is_at_key => {
                suggest(word, known.iter().copied())
            }
            _ => None,
        };
        self.root.remove(path, meant)
    }

    fn into_mistakes(self) -> Vec<Mistake> {
        let is_full = self.is_full();
        let mut mistakes = self.mistakes;
        for (path, fields, mistake) in self.missing {
            let (message, help) = wording::missing(&fields, &path);
            mistakes.push(Mistake {
                message,
                help,
                ..mistake
            });
        }
        if is_full {
            mistakes.push(Mistake::new(
                "there may be more mistakes: no more than a hundred are told at once",
            ));
        }
        mistakes
    }
}
