//! The texts of an envelope, all in one block: so that one that is received takes one reference to its message for all of them,
//! and one that is made seldom more than one allocation.

use std::fmt;

use bytestring::ByteString;

/// Which text. In this order they have their places in [`Places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    EventId,
    AggregateId,
    EventType,
    TraceId,
    CorrelationId,
    Source,
    ContentType,
}

impl Field {
    const ALL: [Self; 7] = [
        Self::EventId,
        Self::AggregateId,
        Self::EventType,
        Self::TraceId,
        Self::CorrelationId,
        Self::Source,
        Self::ContentType,
    ];
}

/// Where a text stands in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Place {
    /// That of a text that is not there: beyond every block.
    pub(super) const NONE: Self = Self { start: usize::MAX, end: usize::MAX };
}

/// A place for each [`Field`].
pub(super) type Places = [Place; Field::ALL.len()];

#[derive(Clone)]
pub(super) struct Texts {
    block: Block,
    places: Places,
}

#[derive(Clone)]
enum Block {
    Own(String),
    /// Part of a message.
    Shared(ByteString),
}

impl Texts {
    /// None yet, and room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let block = Block::Own(String::with_capacity(bytes));
        Self { block, places: [Place::NONE; Field::ALL.len()] }
    }

    /// Those that stand at these places of `block`.
    #[inline]
    pub(super) fn shared(block: ByteString, places: Places) -> Self {
        Self { block: Block::Shared(block), places }
    }

    #[inline]
    pub(super) fn get(&self, field: Field) -> Option<&str> {
        let Place { start, end } = self.places[field as usize];
        self.block().get(start..end)
    }

    /// A text, or an empty one.
    #[inline]
    pub(super) fn or_empty(&self, field: Field) -> &str {
        self.get(field).unwrap_or_default()
    }

    /// Puts `text` in the place of what was there.
    pub(super) fn set(&mut self, field: Field, text: impl AsRef<str>) {
        if self.get(field).is_some() {
            *self = self.without(Some(field));
        }
        self.append(field, text.as_ref());
    }

    /// Adds a text that is not there.
    fn append(&mut self, field: Field, text: &str) {
        if let Block::Shared(_) = self.block {
            *self = self.without(None);
        }
        // Never another one.
        if let Block::Own(block) = &mut self.block {
            let start = block.len();
            block.push_str(text);
            self.places[field as usize] = Place { start, end: block.len() };
        }
    }

    /// The same texts, but for one, in a block of their own with nothing else in it.
    fn without(&self, gone: Option<Field>) -> Self {
        let rest = || Field::ALL.into_iter().filter(|&field| Some(field) != gone);
        let rest = || rest().filter_map(|field| Some((field, self.get(field)?)));
        let mut texts = Self::with_capacity(rest().map(|(_, text)| text.len()).sum());
        rest().for_each(|(field, text)| texts.append(field, text));
        texts
    }

    pub(super) fn set_if(&mut self, field: Field, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.set(field, text);
        }
    }

    #[inline]
    fn block(&self) -> &str {
        match &self.block {
            Block::Own(block) => block,
            Block::Shared(block) => block,
        }
    }
}

/// Where they stand does not matter.
impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        Field::ALL.iter().all(|&field| self.get(field) == other.get(field))
    }
}

impl Eq for Texts {}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = Field::ALL.iter().filter_map(|&field| Some((field, self.get(field)?)));
        f.debug_map().entries(there).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_was_set_last() {
        let shared = ByteString::from_static("id: 7, kind: t");
        let mut places = [Place::NONE; 7];
        places[Field::EventId as usize] = Place { start: 4, end: 5 };
        places[Field::EventType as usize] = Place { start: 13, end: 14 };
        let shared = Texts::shared(shared, places);
        let mut own = Texts::with_capacity(0);
        own.set(Field::EventType, "other");
        own.set(Field::EventId, "7");
        assert_ne!(own, shared);
        own.set(Field::EventType, "t");
        assert_eq!(own, shared);
        for mut texts in [shared, own] {
            let before = texts.clone();
            assert_eq!(texts.get(Field::Source), None);
            texts.set(Field::Source, "ä");
            texts.set(Field::TraceId, "");
            texts.set_if(Field::EventId, None::<&str>);
            assert_eq!(texts.get(Field::Source), Some("ä"));
            assert_eq!(texts.get(Field::TraceId), Some(""));
            assert_eq!(texts.or_empty(Field::EventId), "7");
            assert_eq!(texts.or_empty(Field::AggregateId), "");
            assert_eq!((before.get(Field::Source), before.or_empty(Field::EventType)), (None, "t"));
        }
    }

    #[test]
    fn nothing_is_kept_of_what_was_there_before() {
        let mut texts = Texts::shared(ByteString::from_static("a lot of headers"), {
            let mut places = [Place::NONE; 7];
            places[Field::AggregateId as usize] = Place { start: 0, end: 1 };
            places
        });
        for round in 0..1_000 {
            texts.set(Field::EventId, format!("{round:03}"));
            texts.set(Field::TraceId, "t");
        }
        assert_eq!(texts.block().len(), "a999t".len());
        assert_eq!(
            (texts.get(Field::EventId), texts.get(Field::TraceId)),
            (Some("999"), Some("t"))
        );
    }
}
