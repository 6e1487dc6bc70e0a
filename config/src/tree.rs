//! The configuration as a tree in which every key and value knows its place, and from which mistakes can be cut out.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A step from a table or list to what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key that the type knows: a field, or the kind of an enum.
    Field(String),
    /// A key that the user chose.
    Key(String),
    /// The place in a list.
    Index(usize),
}

impl Step {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Field(key) | Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
    /// Keys that were cut out of this table, or were probably meant by those.
    pub(crate) lost: Vec<String>,
    /// Its text has a mistake of its own: what follows from that is not told.
    pub(crate) is_broken: bool,
    /// Made up, to be able to read on; so is everything in it.
    pub(crate) is_guess: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    /// None when it does not fit into 128 bits.
    Integer(Option<i128>),
    Float(f64),
    Boolean(bool),
    Date(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// What was cut out of a list: the rest keep their numbers.
    Gone,
    /// Stands for a value that is missing or was wrong; the number of guesses made before.
    Guess(usize),
}

/// A key and its value in a table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) const fn new(span: Range<usize>, value: Value) -> Self {
        Self {
            span,
            value,
            lost: Vec::new(),
            is_broken: false,
            is_guess: false,
        }
    }

    pub(crate) const fn guess(span: Range<usize>) -> Self {
        Self {
            span,
            value: Value::Guess(0),
            lost: Vec::new(),
            is_broken: false,
            is_guess: true,
        }
    }

    /// Parses as much as can be parsed, and tells what could not.
    pub(crate) fn parse(text: &str) -> (Self, Vec<toml::de::Error>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        (Self::new(0..0, Value::Table(entries(root.get_ref()))), errors)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Table(entries), step) => {
                let key = step.key()?;
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
            }
            (Value::Array(items), Step::Index(index)) => items.get(*index),
            _ => None,
        }
    }

    /// What stands at the end of a path.
    pub(crate) fn at(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| node.child(step))
    }

    /// The entry at the end of a path that ends with a key.
    pub(crate) fn entry_at(&self, path: &[Step]) -> Option<&Entry> {
        let (last, parents) = path.split_last()?;
        let key = last.key()?;
        self.at(parents)?.entries().iter().find(|entry| entry.key == key)
    }

    /// What stands at the end of a path; a guess on the way becomes a table with a guess in it.
    pub(crate) fn at_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        let mut node = self;
        for step in path {
            if let (Value::Guess(_), Some(key)) = (&node.value, step.key()) {
                let span = node.span.clone();
                let entry = Entry {
                    key: key.to_owned(),
                    key_span: span.clone(),
                    node: Self::guess(span),
                };
                node.value = Value::Table(vec![entry]);
            }
            node = match (&mut node.value, step) {
                (Value::Table(entries), step) => {
                    let key = step.key()?;
                    &mut entries.iter_mut().find(|entry| entry.key == key)?.node
                }
                (Value::Array(items), Step::Index(index)) => items.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Whether something on the way is made up.
    pub(crate) fn is_guessed_at(&self, path: &[Step]) -> bool {
        let mut node = self;
        for step in path {
            match node.child(step) {
                _ if node.is_guess => return true,
                Some(child) => node = child,
                None => return false,
            }
        }
        node.is_guess
    }

    /// Cuts out what stands at the end of a path, and remembers in its parent that something was there.
    pub(crate) fn remove(&mut self, path: &[Step], meant: Option<&str>) -> bool {
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        let Some(parent) = self.at_mut(parents) else {
            return false;
        };
        parent.lost.extend(meant.map(str::to_owned));
        match (&mut parent.value, last) {
            (Value::Array(items), Step::Index(index)) => {
                let Some(item) = items.get_mut(*index) else {
                    return false;
                };
                parent.lost.push(index.to_string());
                !matches!(std::mem::replace(&mut item.value, Value::Gone), Value::Gone)
            }
            (Value::Table(entries), step) => {
                let Some(key) = step.key() else { return false };
                let before = entries.len();
                entries.retain(|entry| entry.key != key);
                let is_removed = entries.len() < before;
                parent.lost.push(key.to_owned());
                is_removed
            }
            _ => false,
        }
    }

    /// Calls a function with every node of the tree, parents first.
    pub(crate) fn visit_mut(&mut self, visitor: &mut impl FnMut(&mut Self)) {
        visitor(self);
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().for_each(|entry| entry.node.visit_mut(visitor)),
            Value::Array(items) => items.iter_mut().for_each(|item| item.visit_mut(visitor)),
            _ => {}
        }
    }

    /// Calls a function with every node of the tree, parents first.
    pub(crate) fn visit<'t>(&'t self, visitor: &mut impl FnMut(&'t Self)) {
        visitor(self);
        match &self.value {
            Value::Table(entries) => entries.iter().for_each(|entry| entry.node.visit(visitor)),
            Value::Array(items) => items.iter().for_each(|item| item.visit(visitor)),
            _ => {}
        }
    }
}

fn entries(table: &DeTable<'_>) -> Vec<Entry> {
    table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: Node::new(value.span(), converted(value.get_ref())),
        })
        .collect()
}

/// The parser limits the depth (80 each for headers, dotted keys and brackets), so this recursion is bounded.
fn converted(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Integer(None), Value::Float),
        DeValue::Boolean(is_true) => Value::Boolean(*is_true),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| Node::new(item.span(), converted(item.get_ref())))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table)),
    }
}
