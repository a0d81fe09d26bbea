//! The texts of an envelope, all in one block: so that one that is received takes one reference to its message for all of them,
//! and one that is made takes one allocation.

use std::fmt;
use std::mem;

use bytestring::ByteString;

/// Which text.
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

    /// A text that is always there.
    #[inline]
    pub(super) fn needed(&self, field: Field) -> &str {
        self.get(field).unwrap_or_default()
    }

    /// Puts `text` in the place of what was there. Its room is not given back.
    pub(super) fn set(&mut self, field: Field, text: impl AsRef<str>) {
        let mut block = match mem::take(&mut self.block) {
            Block::Own(block) => block,
            Block::Shared(block) => String::from(&*block),
        };
        let start = block.len();
        block.push_str(text.as_ref());
        self.places[field as usize] = Place { start, end: block.len() };
        self.block = Block::Own(block);
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

impl Default for Block {
    fn default() -> Self {
        Self::Own(String::new())
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
            assert_eq!(texts.needed(Field::EventId), "7");
            assert_eq!(texts.needed(Field::AggregateId), "");
            assert_eq!((before.get(Field::Source), before.needed(Field::EventType)), (None, "t"));
        }
    }
}
