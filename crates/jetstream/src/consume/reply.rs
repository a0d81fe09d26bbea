//! Where the acknowledgement of a delivery goes.

use std::fmt;
use std::ops::Deref;

/// Those of nearly all streams and consumers: `$JS.ACK.<stream>.<consumer>.` and five numbers.
const SHORT: usize = 110;

/// A copy of its own. Sharing it with the message would keep alive as long a block with many others, and its count
/// of references would go to and fro between the reactor and the thread that handles the message.
pub(super) struct Reply(Kind);

enum Kind {
    /// In place, so that it costs no allocation.
    Short {
        len: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<[u8]>),
}

impl Reply {
    /// That of a delivery that needs no acknowledgement any more.
    pub(super) const NONE: Self = Self(Kind::Short { len: 0, bytes: [0; SHORT] });

    #[inline]
    pub(super) fn new(reply: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..reply.len()), u8::try_from(reply.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(reply);
                Self(Kind::Short { len, bytes })
            }
            _ => Self(Kind::Long(reply.into())),
        }
    }

    /// From now on it needs no acknowledgement.
    #[inline]
    pub(super) fn clear(&mut self) {
        match &mut self.0 {
            Kind::Short { len, .. } => *len = 0,
            Kind::Long(_) => *self = Self::NONE,
        }
    }
}

impl Deref for Reply {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Kind::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_it_was_made_of_whatever_its_length() {
        for len in [0, 1, 70, SHORT - 1, SHORT, SHORT + 1, 255, 256, 300, 70_000] {
            let bytes: Vec<_> = (0..len).map(|at| b'0' + u8::try_from(at % 10).unwrap()).collect();
            let mut reply = Reply::new(&bytes);
            assert_eq!(&*reply, bytes);
            reply.clear();
            assert_eq!(&*reply, b"", "{len}");
        }
    }
}
