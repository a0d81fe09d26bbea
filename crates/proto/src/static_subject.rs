use core::fmt;

use crate::{AsSubject, SubjectError};

/// A subject that the compiler has checked: made by [`subject!`](crate::subject).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StaticSubject(&'static str);

/// A subject to publish to, checked when it is compiled, and not again.
///
/// ```
/// use jetlane_proto::{StaticSubject, subject};
/// const CREATED: StaticSubject = subject!("order.created");
/// assert_eq!(CREATED.as_str(), "order.created");
/// ```
///
/// ```compile_fail
/// jetlane_proto::subject!("order.*");
/// ```
#[macro_export]
macro_rules! subject {
    ($text:expr) => {
        const { $crate::StaticSubject::new($text) }
    };
}

impl StaticSubject {
    /// Checks `text`, at compile time where this stands in a constant.
    ///
    /// # Panics
    /// If it is empty, too long, has an empty token, white space, a control character or a wildcard.
    pub const fn new(text: &'static str) -> Self {
        assert!(is_subject(text.as_bytes()), "this is not a subject that can be published to");
        Self(text)
    }

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl AsSubject for StaticSubject {
    #[inline]
    fn as_subject(&self) -> Result<&str, SubjectError> {
        Ok(self.0)
    }
}

impl fmt::Debug for StaticSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As [`crate::check_subject`], byte by byte, as constants can be computed.
const fn is_subject(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > crate::subject::MAX_LEN {
        return false;
    }
    let mut token_begins = 0;
    let mut at = 0;
    while at <= text.len() {
        if at == text.len() || text[at] == b'.' {
            let wild = at == token_begins + 1 && matches!(text[token_begins], b'*' | b'>');
            if at == token_begins || wild {
                return false;
            }
            token_begins = at + 1;
        } else if text[at] <= b' ' || text[at] == 0x7f {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_subject;

    #[test]
    fn constants_are_checked_as_all_others_are() {
        let pieces = ["", "a", ".", "*", ">", " ", "b*", "\t", "\u{7f}", "ä", "xyz.abc", "_"];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let text = format!("{first}{second}{third}");
                    assert_eq!(
                        is_subject(text.as_bytes()),
                        check_subject(&text).is_ok(),
                        "{text:?}"
                    );
                }
            }
        }
        let longest = "x".repeat(crate::subject::MAX_LEN);
        assert!(is_subject(longest.as_bytes()) && !is_subject(format!("{longest}x").as_bytes()));
    }
}
