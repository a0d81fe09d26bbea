//! The keys and values of a YAML text, each as text. What is known of keys says how to read them, so that a token of digits stays as it
//! was written.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};
use serde_saphyr::Spanned;

/// How a key's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value.
    Text,
    /// One value, or a list of them. Read as one text with commas between.
    Texts,
    /// More keys.
    Section,
    /// A list of sections.
    Sections,
    /// Whatever it is, it is not ours.
    Foreign,
}

/// A key that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// From the root: `a.b`, and `a.list[0].b` in a list of sections.
    pub(super) path: String,
    /// `None` if it is not known, and is not read further.
    pub(super) text: Option<String>,
    pub(super) line: u64,
}

/// Why a text was not read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) line: Option<u64>,
    pub(super) near: String,
    pub(super) reason: String,
}

/// What a text says, in its order. A key without a value says nothing.
pub(super) fn read(yaml: &str, shape: fn(&str) -> Option<Shape>) -> Result<Vec<Said>, Unread> {
    // Its excerpts of the text could show secrets.
    let options = serde_saphyr::options! { with_snippet: false };
    let mut reading = Reading { shape, near: String::new(), said: Vec::new() };
    let root = At { reading: &mut reading, path: String::new(), line: 0, shape: Shape::Section };
    match serde_saphyr::with_deserializer_from_str_with_options(yaml, options, |yaml| {
        root.deserialize(yaml)
    }) {
        Ok(()) => Ok(reading.said),
        Err(error) => Err(Unread {
            line: error.location().map(|location| location.line()).filter(|&line| line > 0),
            near: reading.near,
            reason: error.to_string(),
        }),
    }
}

struct Reading {
    shape: fn(&str) -> Option<Shape>,
    /// The last key that was met.
    near: String,
    said: Vec<Said>,
}

/// A value about to be read.
struct At<'a> {
    reading: &'a mut Reading,
    path: String,
    line: u64,
    shape: Shape,
}

impl At<'_> {
    fn say(self, text: Option<String>) {
        self.reading.said.push(Said { path: self.path, text, line: self.line });
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            Shape::Text => {
                if let Some(text) = de::Deserialize::deserialize(deserializer)? {
                    self.say(Some(text));
                }
                Ok(())
            }
            Shape::Foreign => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shape {
            Shape::Section => "keys with values, indented below it",
            Shape::Sections => "a list, each item with keys",
            _ => "a text, or a list of texts",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.shape != Shape::Section {
            return Err(A::Error::custom("there are keys where none are expected"));
        }
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let dot = if self.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{}", self.path, key.value);
            let line = key.referenced.line();
            let reading = &mut *self.reading;
            reading.near.clone_from(&path);
            match (reading.shape)(&path) {
                Some(shape) => map.next_value_seed(At { reading, path, line, shape })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    At { reading, path, line, shape: Shape::Foreign }.say(None);
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { reading, path, line, shape } = self;
        match shape {
            Shape::Sections => {
                let mut at = 0;
                while let Some(()) = list.next_element_seed(At {
                    reading: &mut *reading,
                    path: format!("{path}[{at}]"),
                    line,
                    shape: Shape::Section,
                })? {
                    at += 1;
                }
                Ok(())
            }
            Shape::Texts => {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    texts.push(text);
                }
                At { reading, path, line, shape }.say(Some(texts.join(",")));
                Ok(())
            }
            _ => Err(A::Error::custom("there is a list where none is expected")),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.shape {
            Shape::Texts => {
                self.say(Some(text.into()));
                Ok(())
            }
            _ => Err(E::custom("there is a value where keys are expected")),
        }
    }

    // What the value is must not be told.
    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Err(E::custom("there is a value where keys or texts are expected"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.visit_bool(true)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.visit_bool(true)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.visit_bool(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(path: &str) -> Option<Shape> {
        Some(match path {
            "a" | "a.b" => Shape::Section,
            "a.text" | "a.b.text" | "a.items[0].text" | "a.items[1].text" => Shape::Text,
            "a.texts" => Shape::Texts,
            "a.items" => Shape::Sections,
            "other" => Shape::Foreign,
            _ => return None,
        })
    }

    fn said(yaml: &str) -> Vec<(String, String, u64)> {
        let said = read(yaml, shape).unwrap_or_else(|unread| panic!("{yaml}: {unread:?}"));
        let plain = said.into_iter().map(|Said { path, text, line }| {
            (path, text.unwrap_or_else(|| "(unknown)".into()), line)
        });
        plain.collect()
    }

    #[test]
    fn every_value_is_the_text_that_was_written() {
        for (yaml, expected) in [
            ("", &[][..]),
            ("# nothing\n", &[]),
            ("a:\n", &[]),
            ("a:\n  text:\n  b: ~\n", &[]),
            ("a:\n  text: 007\n", &[("a.text", "007", 2)]),
            ("a: {text: 1e5}", &[("a.text", "1e5", 1)]),
            ("a:\n  text: 'true' # so\n", &[("a.text", "true", 2)]),
            ("a:\n\n  b:\n    text: x y\n", &[("a.b.text", "x y", 4)]),
            ("a:\n  texts: one", &[("a.texts", "one", 2)]),
            ("a:\n  texts: [one, two]", &[("a.texts", "one,two", 2)]),
            ("a:\n  texts:\n    - one\n    - two\n", &[("a.texts", "one,two", 2)]),
            (
                "a:\n  items:\n    - text: x\n    - text: y\n",
                &[("a.items[0].text", "x", 3), ("a.items[1].text", "y", 4)],
            ),
            ("other: {deep: [1, {x: y}]}\na: {text: z}", &[("a.text", "z", 2)]),
            (
                "a:\n  wrong: {deep: 1}\n  text: x",
                &[("a.wrong", "(unknown)", 2), ("a.text", "x", 3)],
            ),
        ] {
            let said = said(yaml);
            let said: Vec<_> = said.iter().map(|(p, t, l)| (p.as_str(), t.as_str(), *l)).collect();
            assert_eq!(said, expected, "{yaml}");
        }
    }

    #[test]
    fn what_can_not_be_read_says_where_and_shows_no_value() {
        for (yaml, line, near) in [
            ("a:\n  text: [1", 2, "a.text"),
            ("a:\n  text: {s3cret: 1}", 2, "a.text"),
            ("a:\n  text: s3cret: x", 2, "a.text"),
            ("a:\n  text: x\n  text: s3cret", 3, "a.text"),
            ("a: s3cret", 1, "a"),
            ("a: 17", 1, "a"),
            ("a: [s3cret]", 1, "a"),
            ("a:\n  items: {s3cret: 1}", 2, "a.items"),
            ("a:\n  texts: 17", 2, "a.texts"),
            ("a:\n  texts: {s3cret: 1}", 2, "a.texts"),
            // The root has no place that is told.
            ("- s3cret", 0, ""),
        ] {
            let unread = read(yaml, shape).expect_err(yaml);
            assert!(!unread.reason.contains("s3cret"), "{yaml}: {}", unread.reason);
            assert!(!unread.reason.contains("17"), "{yaml}: {}", unread.reason);
            assert_eq!(unread.near, near, "{yaml}");
            assert_eq!(unread.line.unwrap_or(0), line, "{yaml}");
        }
    }
}
