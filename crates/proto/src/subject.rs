use std::fmt;
use std::sync::Arc;

use crate::scan;

/// The longest subject, in bytes: with a reply subject and sizes it still fits the 4096 bytes of a server's default
/// `max_control_line`.
pub(crate) const MAX_LEN: usize = 3800;

/// Why a text is not a subject. Always the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Nothing was given.
    #[error("the subject is empty")]
    Empty,
    /// Longer than a control line can carry.
    #[error("the subject has {len} bytes; at most {MAX_LEN} fit a control line")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Two dots in a row, or one at an end.
    #[error("the subject has an empty token at byte {at}: remove the extra dot")]
    EmptyToken {
        /// Where the token would begin.
        at: usize,
    },
    /// White space and control characters would end the subject on the wire.
    #[error("the subject has the forbidden byte {byte:#04x} at byte {at}")]
    Forbidden {
        /// The byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
    /// A server would carry it literally to nobody.
    #[error("wildcards are for subscriptions; the subject to publish to has one at byte {at}")]
    WildcardInPublish {
        /// Where the token begins.
        at: usize,
    },
    /// `>` matches all remaining tokens, so nothing can follow it.
    #[error("`>` is not the last token of the filter, but stands at byte {at}")]
    TailNotLast {
        /// Where it stands.
        at: usize,
    },
}

/// A subject to publish to: no wildcards, checked when it was made. Cloning shares the text.
///
/// ```
/// use jetlane_proto::Subject;
/// let subject = Subject::new("order.created")?;
/// assert_eq!(subject.as_str(), "order.created");
/// assert!(Subject::new("order.*").is_err());
/// # Ok::<(), jetlane_proto::SubjectError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Arc<str>);

/// A subject to subscribe to: `*` matches one token, `>` at the end all that follow. Cloning shares the text.
///
/// ```
/// use jetlane_proto::SubjectFilter;
/// let filter = SubjectFilter::new("order.*.>")?;
/// assert!(filter.matches(b"order.eu.created"));
/// assert!(!filter.matches(b"order.eu"));
/// # Ok::<(), jetlane_proto::SubjectError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectFilter(Arc<str>);

impl Subject {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// [`SubjectError`] says what is wrong and where.
    pub fn new(text: &str) -> Result<Self, SubjectError> {
        check_subject(text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SubjectFilter {
    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// [`SubjectError`] says what is wrong and where.
    pub fn new(text: &str) -> Result<Self, SubjectError> {
        check_filter(text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it has no wildcard, so that it matches one subject only.
    pub fn is_literal(&self) -> bool {
        !self.0.split('.').any(|token| token == "*" || token == ">")
    }

    /// Whether a message with `subject` is one of those this filter asks for.
    pub fn matches(&self, subject: &[u8]) -> bool {
        let mut tokens = subject.split(|&byte| byte == b'.');
        for wanted in self.0.as_bytes().split(|&byte| byte == b'.') {
            match (wanted, tokens.next()) {
                (_, None) => return false,
                (b">", Some(_)) => return true,
                (b"*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

/// What can be published to: a [`Subject`], checked before, or a text that is checked now.
pub trait AsSubject {
    /// The checked text.
    ///
    /// # Errors
    /// [`SubjectError`] says what is wrong and where.
    fn as_subject(&self) -> Result<&str, SubjectError>;
}

impl AsSubject for Subject {
    #[inline]
    fn as_subject(&self) -> Result<&str, SubjectError> {
        Ok(&self.0)
    }
}

impl AsSubject for str {
    #[inline]
    fn as_subject(&self) -> Result<&str, SubjectError> {
        check_subject(self)?;
        Ok(self)
    }
}

impl AsSubject for String {
    #[inline]
    fn as_subject(&self) -> Result<&str, SubjectError> {
        self.as_str().as_subject()
    }
}

impl<S: AsSubject + ?Sized> AsSubject for &S {
    #[inline]
    fn as_subject(&self) -> Result<&str, SubjectError> {
        (**self).as_subject()
    }
}

/// Checks that `text` can be published to.
///
/// # Errors
/// [`SubjectError`] says what is wrong and where.
#[inline]
pub fn check_subject(text: &str) -> Result<(), SubjectError> {
    if is_plain(text.as_bytes()) { Ok(()) } else { examine_subject(text) }
}

#[cold]
fn examine_subject(text: &str) -> Result<(), SubjectError> {
    examine(text, |token, at, _| match token {
        b"*" | b">" => Err(SubjectError::WildcardInPublish { at }),
        _ => Ok(()),
    })
}

/// Whether this is for sure a subject without wildcards, as nearly every one is. Others are looked at in detail.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let (Some(&first), Some(&last)) = (text.first(), text.last()) else { return false };
    if first == b'.' || last == b'.' || text.len() > MAX_LEN {
        return false;
    }
    let Some(last) = text.len().checked_sub(8) else {
        let mut before = b'a';
        return text.iter().all(|&byte| {
            let two_dots = std::mem::replace(&mut before, byte) == b'.' && byte == b'.';
            byte > b' ' && !matches!(byte, b'*' | b'>' | 0x7f) && !two_dots
        });
    };
    // Eight at a time; the last eight overlap those before, and all eights the last byte of those before them, so that
    // two dots in a row are seen wherever they stand.
    let mut at = 0;
    loop {
        match scan::eight(text, at) {
            Some(eight) if are_plain(eight) && at < last => at = (at + 7).min(last),
            eight => return eight.is_some_and(are_plain),
        }
    }
}

#[inline]
fn are_plain(eight: u64) -> bool {
    let dots = scan::equal(eight, b'.');
    let forbidden = scan::below(eight, b' ' + 1) | scan::equal(eight, 0x7f);
    let wildcards = scan::equal(eight, b'*') | scan::equal(eight, b'>');
    forbidden | wildcards | (dots & dots << 8) == 0
}

/// Checks that `text` can be subscribed to.
///
/// # Errors
/// [`SubjectError`] says what is wrong and where.
pub fn check_filter(text: &str) -> Result<(), SubjectError> {
    examine(text, |token, at, end| {
        if token == b">" && end < text.len() {
            return Err(SubjectError::TailNotLast { at });
        }
        Ok(())
    })
}

/// Looks at a subject token by token, to say exactly what is wrong with it.
#[cold]
fn examine(
    text: &str,
    mut check: impl FnMut(&[u8], usize, usize) -> Result<(), SubjectError>,
) -> Result<(), SubjectError> {
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(SubjectError::TooLong { len: text.len() });
    }
    let mut at = 0;
    for token in text.as_bytes().split(|&byte| byte == b'.') {
        if token.is_empty() {
            return Err(SubjectError::EmptyToken { at });
        }
        if let Some(offset) = token.iter().position(|&byte| byte <= b' ' || byte == 0x7f) {
            return Err(SubjectError::Forbidden { byte: token[offset], at: at + offset });
        }
        check(token, at, at + token.len())?;
        at += token.len() + 1;
    }
    Ok(())
}

/// Why a text can not name a stream, a consumer or a queue group. Always the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing was given.
    #[error("the name is empty")]
    Empty,
    /// Longer than 255 bytes, the server's limit.
    #[error("the name has {len} bytes; a server takes 255 at most")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A name is one token of a subject, and of a path on the server's disk.
    #[error(
        "the name {name:?} has {found:?}; dots, wildcards, slashes and white space can not be part of a name"
    )]
    Forbidden {
        /// The name.
        name: String,
        /// The character.
        found: char,
    },
}

/// Checks the name of a stream, a consumer or a queue group.
///
/// # Errors
/// [`NameError`] says what is wrong.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > 255 {
        return Err(NameError::TooLong { len: name.len() });
    }
    match name
        .chars()
        .find(|c| matches!(c, '.' | '*' | '>' | '/' | '\\') || *c <= ' ' || *c == '\u{7f}')
    {
        Some(found) => Err(NameError::Forbidden { name: name.into(), found }),
        None => Ok(()),
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({:?})", &*self.0)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectFilter({:?})", &*self.0)
    }
}

impl fmt::Display for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_to_publish_to() {
        use SubjectError::*;
        let long = "a".repeat(MAX_LEN + 1);
        for (text, expected) in [
            ("a", Ok(())),
            ("order.created", Ok(())),
            ("größe.日本", Ok(())),
            ("$JS.API.INFO", Ok(())),
            ("a*b.c>d", Ok(())),
            ("", Err(Empty)),
            (".", Err(EmptyToken { at: 0 })),
            ("a.", Err(EmptyToken { at: 2 })),
            ("a..b", Err(EmptyToken { at: 2 })),
            ("a b", Err(Forbidden { byte: b' ', at: 1 })),
            ("a.b\r\nPUB x 0", Err(Forbidden { byte: b'\r', at: 3 })),
            ("a.*", Err(WildcardInPublish { at: 2 })),
            (">", Err(WildcardInPublish { at: 0 })),
            (&long, Err(TooLong { len: MAX_LEN + 1 })),
        ] {
            assert_eq!(check_subject(text), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_plain_is_sound_and_nearly_all_that_is_sound_is_plain(
            text in "[a-c./*>ü \\x00\\x1f\\x7f]{0,40}",
            sound in "[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,9}",
        ) {
            proptest::prop_assert_eq!(check_subject(&text), examine_subject(&text));
            proptest::prop_assert!(is_plain(sound.as_bytes()));
        }
    }

    #[test]
    fn every_byte_that_could_end_a_subject_is_refused_everywhere() {
        for byte in (0..=b' ').chain([0x7f]) {
            for at in 0..3 {
                let mut text = b"abc".to_vec();
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                let refused = Err(SubjectError::Forbidden { byte, at });
                assert_eq!(check_subject(&text), refused);
                assert_eq!(check_filter(&text), refused);
                assert!(check_name(&text).is_err());
            }
        }
    }

    #[test]
    fn subjects_to_subscribe_to() {
        use SubjectError::*;
        for (text, expected) in [
            ("*", Ok(())),
            (">", Ok(())),
            ("a.*.>", Ok(())),
            ("a>b", Ok(())),
            ("a.>.b", Err(TailNotLast { at: 2 })),
            ("", Err(Empty)),
            ("a..>", Err(EmptyToken { at: 2 })),
        ] {
            assert_eq!(check_filter(text), expected, "{text:?}");
        }
    }

    #[test]
    fn filters_match_token_by_token() {
        for (filter, subject, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "a.b", false),
            ("a.b", "a", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            (">", "a", true),
            (">", "a.b.c", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "b.c", false),
            ("a*", "ab", false),
        ] {
            let matches = SubjectFilter::new(filter).unwrap().matches(subject.as_bytes());
            assert_eq!(matches, expected, "{filter} on {subject}");
        }
    }

    #[test]
    fn names() {
        for (name, good) in [
            ("ORDERS", true),
            ("orders_2-x", true),
            ("", false),
            ("a.b", false),
            ("a*", false),
            (">", false),
            ("a/b", false),
            ("a\\b", false),
            ("a b", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
        assert_eq!(check_name(&"x".repeat(256)), Err(NameError::TooLong { len: 256 }));
    }
}
