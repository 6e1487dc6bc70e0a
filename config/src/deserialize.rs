//! Reads a type from the tree, and keeps the path to whatever goes wrong.
//!
//! Stricter than serde asks for: keys that a struct does not know are refused whether or not it says so.

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer, UnitDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_spanned::de::{SpannedDeserializer, is_spanned};

use crate::fault::{Fault, What};
use crate::tree::{Entry, Node, Step, Value};

/// What a value that is missing might look like; tried in turn until the type takes one. Only ever used to read on
/// behind a mistake.
const GUESSES: [&str; 12] = [
    "a",
    "1s",
    "1MiB",
    "https://a.example/",
    "a@a.example",
    "0 0 * * *",
    "UTC",
    "127.0.0.1:1",
    "127.0.0.1",
    "2000-01-01T00:00:00Z",
    "/",
    "A",
];
/// How many guesses there are: the texts, then a place of a secret, nothing, a number.
pub(crate) const GUESSES_MAX: usize = GUESSES.len() + 3;

static GUESS: Node = Node::guess(0..0);

/// Reads a value from a node.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'t> {
    node: &'t Node,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(node: &'t Node) -> Self {
        Self { node }
    }
}

impl IntoDeserializer<'_, Fault> for Reader<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.node.value {
                Value::Guess(_) => visitor.visit_u64(1),
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::Date(text) => visitor.visit_str(text),
            Value::Integer(Some(number)) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_u64(number),
                _ => visitor.visit_i128(*number),
            },
            Value::Integer(None) => Err(Fault::new(What::Said("this number is too large to be read".into()))),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(is_true) => visitor.visit_bool(*is_true),
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
            }),
            Value::Table(entries) => visitor.visit_map(Entries::new(entries, false)),
            Value::Guess(attempt) => guess(*attempt, visitor),
            Value::Gone => visitor.visit_unit(),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Guess(_) => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Guess(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Guess(0) => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<UnitDeserializer<Fault>>())),
            // Some lists may not be empty.
            Value::Guess(attempt) => {
                let item = Node::new(self.node.span.clone(), Value::Guess(attempt - 1));
                visitor.visit_seq(SeqDeserializer::new(std::iter::once(Reader::new(&item))))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Guess(_) => visitor.visit_map(Entries::new(&[], false)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if is_spanned(name) {
            return visitor.visit_map(SpannedDeserializer::new(self, self.node.span.clone()));
        }
        match &self.node.value {
            Value::Guess(_) => visitor.visit_map(Entries::new(&[], true)),
            Value::Table(entries) => match entries.iter().find(|entry| !fields.contains(&entry.key.as_str())) {
                Some(unknown) => Err(Fault::new(What::UnknownKey(fields)).at_key(Step::Field(unknown.key.clone()))),
                None => visitor.visit_map(Entries::new(entries, true)),
            },
            _ => self.deserialize_any(visitor).map_err(|fault| fault.with_keys(fields)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let unknown = |word: &str| Fault::new(What::UnknownChoice(word.to_owned(), variants));
        match &self.node.value {
            Value::Text(word) if variants.contains(&word.as_str()) => {
                visitor.visit_enum(Choice { key: word, node: None })
            }
            Value::Text(word) => Err(unknown(word)),
            Value::Table(entries) => {
                if let Some(entry) = entries.iter().find(|entry| !variants.contains(&entry.key.as_str())) {
                    return Err(unknown(&entry.key).at_key(Step::Field(entry.key.clone())));
                }
                let Some(first) = entries.iter().min_by_key(|entry| entry.key_span.start) else {
                    return Err(Fault::new(What::NoKind(variants)));
                };
                match entries.iter().find(|entry| entry.key != first.key) {
                    Some(second) => {
                        Err(Fault::new(What::SecondKind(first.key.clone())).at_key(Step::Field(second.key.clone())))
                    }
                    None => visitor.visit_enum(Choice {
                        key: &first.key,
                        node: Some(&first.node),
                    }),
                }
            }
            Value::Guess(attempt) => match variants.get(*attempt) {
                Some(variant) => visitor.visit_enum(Choice {
                    key: variant,
                    node: Some(&GUESS),
                }),
                None => Err(Fault::new(What::NoKind(variants))),
            },
            _ => Err(Fault::new(What::Expected(one_of(variants), &[]))),
        }
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn one_of(variants: &[&str]) -> String {
    let list: Vec<_> = variants.iter().map(|variant| format!("`{variant}`")).collect();
    format!("one of {}", list.join(", "))
}

fn guess<'de, V: Visitor<'de>>(attempt: usize, visitor: V) -> Result<V::Value, Fault> {
    match GUESSES.get(attempt) {
        Some(text) => visitor.visit_str(text),
        None if attempt == GUESSES.len() => visitor.visit_map(MapDeserializer::new([("env", "A")].into_iter())),
        None if attempt == GUESSES.len() + 1 => visitor.visit_unit(),
        None => visitor.visit_u64(1),
    }
}

struct Items<'t> {
    items: std::iter::Enumerate<std::slice::Iter<'t, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let mut left = self
            .items
            .by_ref()
            .filter(|(_, node)| !matches!(node.value, Value::Gone));
        let Some((index, node)) = left.next() else {
            return Ok(None);
        };
        seed.deserialize(Reader::new(node))
            .map(Some)
            .map_err(|fault| fault.inside(Step::Index(index)))
    }
}

struct Entries<'t> {
    entries: std::slice::Iter<'t, Entry>,
    current: Option<&'t Entry>,
    /// The type knows the keys; otherwise the user chose them.
    are_fields: bool,
}

impl<'t> Entries<'t> {
    fn new(entries: &'t [Entry], are_fields: bool) -> Self {
        Self {
            entries: entries.iter(),
            current: None,
            are_fields,
        }
    }

    fn step(&self, key: &str) -> Step {
        if self.are_fields {
            Step::Field(key.to_owned())
        } else {
            Step::Key(key.to_owned())
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(KeyReader { entry })
            .map(Some)
            .map_err(|fault| fault.at_key(self.step(&entry.key)))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some(entry) = self.current.take() else {
            return Err(Fault::new(What::Said("a value was read before its key".into())));
        };
        seed.deserialize(Reader::new(&entry.node))
            .map_err(|fault| fault.inside(self.step(&entry.key)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Reads a key: as text, as a choice, or as text with its place.
#[derive(Clone, Copy)]
struct KeyReader<'t> {
    entry: &'t Entry,
}

impl<'t> IntoDeserializer<'_, Fault> for KeyReader<'t> {
    type Deserializer = KeyReader<'t>;

    fn into_deserializer(self) -> KeyReader<'t> {
        self
    }
}

impl<'de> de::Deserializer<'de> for KeyReader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(&self.entry.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if is_spanned(name) {
            return visitor.visit_map(SpannedDeserializer::new(self, self.entry.key_span.clone()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        StrDeserializer::<Fault>::new(&self.entry.key).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// One of several: its key, and its settings unless it stands alone as text.
struct Choice<'t> {
    key: &'t str,
    node: Option<&'t Node>,
}

impl Choice<'_> {
    fn settings(&self) -> Result<Reader<'_>, Fault> {
        self.node
            .map(Reader::new)
            .ok_or_else(|| Fault::new(What::BareKind(self.key.to_owned())))
    }

    fn step(&self) -> Step {
        Step::Field(self.key.to_owned())
    }
}

impl<'de> de::EnumAccess<'de> for Choice<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let choice = seed.deserialize(StrDeserializer::<Fault>::new(self.key))?;
        Ok((choice, self))
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.node {
            None => Ok(()),
            Some(node) if node.is_guess || matches!(&node.value, Value::Table(entries) if entries.is_empty()) => Ok(()),
            Some(_) => Err(Fault::new(What::NoSettings(self.key.to_owned())).inside(self.step())),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self.settings()?)
            .map_err(|fault| fault.inside(self.step()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_seq(self.settings()?, visitor).map_err(|fault| fault.inside(self.step()))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_struct(self.settings()?, "", fields, visitor)
            .map_err(|fault| fault.inside(self.step()))
    }
}
