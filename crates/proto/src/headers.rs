use std::fmt;

const VERSION: &[u8] = b"NATS/1.0";

/// Why a header can not be sent. Always the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Nothing was given as name.
    #[error("the header name is empty")]
    EmptyName,
    /// A name is printable ASCII without a colon (ADR-4).
    #[error("the header name {name:?} has the forbidden byte {byte:#04x}")]
    ForbiddenInName {
        /// The name.
        name: String,
        /// The byte.
        byte: u8,
    },
    /// A line end in a value would begin another header.
    #[error("the value of header {name:?} has the forbidden byte {byte:#04x}")]
    ForbiddenInValue {
        /// The name of the header.
        name: String,
        /// The byte.
        byte: u8,
    },
}

/// The first thing that is wrong with a header block that was received. The fault of whoever published it: servers forward any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedHeaders {
    /// The first line does not say `NATS/1.0`.
    #[error("the header block does not begin with NATS/1.0")]
    NoVersion,
    /// Behind the version stands something that is no status of three digits.
    #[error("the header block has no status of three digits behind its version")]
    BadStatus,
    /// A line without a colon.
    #[error("the header line at byte {at} has no colon")]
    NoColon {
        /// Where the line begins.
        at: usize,
    },
    /// Nothing stands before the colon.
    #[error("the header at byte {at} has no name")]
    EmptyName {
        /// Where the line begins.
        at: usize,
    },
    /// A name is printable ASCII (ADR-4): no space, no control character.
    #[error("the header name at byte {at} has the forbidden byte {byte:#04x}")]
    ForbiddenInName {
        /// Where the byte stands.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// A CR without its LF, or NUL.
    #[error("the header value at byte {at} has the forbidden byte {byte:#04x}")]
    ForbiddenInValue {
        /// Where the byte stands.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// The value is not UTF-8.
    #[error("the header value is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Where the first byte stands that is not.
        at: usize,
    },
    /// A line ends with LF alone.
    #[error("the header line that ends at byte {at} has no CR before its LF")]
    BareNewline {
        /// Where the LF stands.
        at: usize,
    },
    /// The block ends before its empty line.
    #[error("the header block ends without an empty line")]
    NotTerminated,
    /// The block goes on behind its empty line.
    #[error("the header block goes on behind its empty line at byte {at}")]
    GoesOn {
        /// Where it goes on.
        at: usize,
    },
}

/// Headers to send: names and values, several values a name allowed, checked when they are added (ADR-4).
///
/// ```
/// use jetlane_proto::Headers;
/// let headers = Headers::new().with("Nats-Msg-Id", "order-42-1")?;
/// assert_eq!(headers.view().get("Nats-Msg-Id"), Some(&b"order-42-1"[..]));
/// # Ok::<(), jetlane_proto::HeaderError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Headers {
    /// As on the wire: the version line, the headers, the empty line that ends them.
    block: Vec<u8>,
}

impl Headers {
    /// No headers yet.
    pub fn new() -> Self {
        Self { block: b"NATS/1.0\r\n\r\n".to_vec() }
    }

    /// Adds a header. Others of the same name stay; readers that want one value see the first.
    ///
    /// # Errors
    /// [`HeaderError`] if the name or the value could not be told apart on the wire; nothing was added then.
    pub fn append(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        check_name(name)?;
        check_value(name, value)?;
        self.push(name.as_bytes(), value.as_bytes());
        Ok(())
    }

    /// Sets a header: adds it, in place of all others of the same name (letter case counts, as ADR-4 says).
    ///
    /// # Errors
    /// As [`Headers::append`]; nothing has changed then.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        check_name(name)?;
        check_value(name, value)?;
        self.remove(name);
        self.push(name.as_bytes(), value.as_bytes());
        Ok(())
    }

    /// Removes all headers of that name, and says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let mut others = Self::new();
        let mut removed = 0;
        for (other, value) in self.view().iter() {
            if other == name.as_bytes() {
                removed += 1;
            } else {
                others.push(other, value);
            }
        }
        *self = others;
        removed
    }

    /// [`Headers::append`] for chains.
    ///
    /// # Errors
    /// As [`Headers::append`].
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        self.append(name, value)?;
        Ok(self)
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        self.block.truncate(self.block.len() - 2);
        for part in [name, b": ", value, b"\r\n\r\n"] {
            self.block.extend_from_slice(part);
        }
    }

    /// How a receiver will see them.
    pub fn view(&self) -> HeaderView<'_> {
        HeaderView::new(&self.block)
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// Something that can be sent as the headers of a message: [`Headers`], or a type that writes its own block.
pub trait HeaderBlock {
    /// How many bytes [`HeaderBlock::encode`] will write.
    fn encoded_len(&self) -> usize;

    /// Writes the block: `NATS/1.0\r\n`, lines of `Name: value\r\n`, and `\r\n`. An encoder that writes another
    /// number of bytes than announced makes the publish fail; nothing is sent then.
    fn encode(&self, out: &mut Vec<u8>);
}

impl HeaderBlock for Headers {
    #[inline]
    fn encoded_len(&self) -> usize {
        self.block.len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.block);
    }
}

impl<H: HeaderBlock + ?Sized> HeaderBlock for &H {
    #[inline]
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

fn check_name(name: &str) -> Result<(), HeaderError> {
    if name.is_empty() {
        return Err(HeaderError::EmptyName);
    }
    match name.bytes().find(|&byte| !(33..=126).contains(&byte) || byte == b':') {
        Some(byte) => Err(HeaderError::ForbiddenInName { name: name.into(), byte }),
        None => Ok(()),
    }
}

/// Checks that `value` can be the value of header `name`.
///
/// # Errors
/// [`HeaderError::ForbiddenInValue`].
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), HeaderError> {
    match value.bytes().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        Some(byte) => Err(HeaderError::ForbiddenInValue { name: name.into(), byte }),
        None => Ok(()),
    }
}

impl Headers {
    /// Checks a value for a [`HeaderBlock`] that writes its own lines.
    ///
    /// # Errors
    /// [`HeaderError::ForbiddenInValue`] if a receiver would see more than one header.
    pub fn check_value(name: &str, value: &str) -> Result<(), HeaderError> {
        check_value(name, value)
    }
}

/// The status line that a server sends instead of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Three digits, as 503 for "no responders".
    pub code: u16,
    /// What follows the code; may be empty.
    pub description: &'a [u8],
}

/// The headers of a received message, read only as far as somebody asks.
///
/// A server forwards what publishers send unchecked (seen on nats-server 2.15.1), so the block can be anything:
/// lines that are no header are passed over, and nothing here fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderView<'a> {
    block: &'a [u8],
}

impl<'a> HeaderView<'a> {
    /// Looks at `block` as received: from `NATS/1.0` to the empty line.
    #[inline]
    pub fn new(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// The block as received.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.block
    }

    /// Whether the block is as ADR-4 wants it. Nothing else here asks: a block that is not can be read as far as it goes, and the
    /// message is delivered all the same.
    ///
    /// ```
    /// use jetlane_proto::{HeaderView, MalformedHeaders};
    /// let headers = HeaderView::new(b"NATS/1.0\r\nno colon\r\nA: 1\r\n\r\n");
    /// assert_eq!(headers.check(), Err(MalformedHeaders::NoColon { at: 10 }));
    /// assert_eq!(headers.get("A"), Some(&b"1"[..]));
    /// ```
    ///
    /// # Errors
    /// [`MalformedHeaders`] names the first fault.
    pub fn check(&self) -> Result<(), MalformedHeaders> {
        let mut at = 0;
        loop {
            let rest = &self.block[at..];
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            if at == 0 {
                check_first_line(line)?;
            }
            let Some(end) = end else { return Err(MalformedHeaders::NotTerminated) };
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(MalformedHeaders::BareNewline { at: at + end });
            };
            let next = at + end + 1;
            match line.is_empty() {
                true if next == self.block.len() => return Ok(()),
                true => return Err(MalformedHeaders::GoesOn { at: next }),
                false if at > 0 => check_line(line, at)?,
                false => {}
            }
            at = next;
        }
    }

    /// The status on the first line, if there is one. Only trust it on subjects that no publisher knows.
    #[inline]
    pub fn status(&self) -> Option<Status<'a>> {
        // `NATS/1.0\r\n` is by far the most common first line, and has none.
        let rest = self.block.strip_prefix(VERSION)?.strip_prefix(b" ")?;
        let line = rest.split(|&byte| byte == b'\n').next()?;
        let line = line.trim_ascii();
        let (code, description) = line.split_at_checked(3)?;
        if !description.is_empty() && description[0] != b' ' {
            return None;
        }
        let code = u16::try_from(crate::read_decimal(code)?).ok()?;
        Some(Status { code, description: description.trim_ascii() })
    }

    /// The first value of the header `name` (the case matters, as it does to the server), without surrounding spaces.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// All values of the header `name`, in order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values in order. Lines that are no header are passed over.
    pub fn iter(&self) -> HeaderIter<'a> {
        let rest = match memchr::memchr(b'\n', self.block) {
            Some(end) => &self.block[end + 1..],
            None => &[],
        };
        HeaderIter { rest }
    }
}

/// Checks the first line of a block, with or without its CR.
fn check_first_line(line: &[u8]) -> Result<(), MalformedHeaders> {
    match line.strip_prefix(VERSION).map(<[u8]>::trim_ascii_end) {
        Some(b"") => Ok(()),
        Some([b' ', ..]) if HeaderView::new(line).status().is_some() => Ok(()),
        Some([b' ', ..]) => Err(MalformedHeaders::BadStatus),
        _ => Err(MalformedHeaders::NoVersion),
    }
}

/// Checks a line that begins at byte `at` of its block and is not empty.
fn check_line(line: &[u8], at: usize) -> Result<(), MalformedHeaders> {
    let colon = match memchr::memchr(b':', line) {
        None => return Err(MalformedHeaders::NoColon { at }),
        Some(0) => return Err(MalformedHeaders::EmptyName { at }),
        Some(colon) => colon,
    };
    let (name, value) = line.split_at(colon);
    if let Some(place) = name.iter().position(|byte| !(33..=126).contains(byte)) {
        return Err(MalformedHeaders::ForbiddenInName { at: at + place, byte: name[place] });
    }
    if let Some(place) = value.iter().position(|byte| matches!(byte, b'\r' | 0)) {
        let (at, byte) = (at + colon + place, value[place]);
        return Err(MalformedHeaders::ForbiddenInValue { at, byte });
    }
    match std::str::from_utf8(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(MalformedHeaders::NotUtf8 { at: at + colon + error.valid_up_to() }),
    }
}

impl fmt::Debug for HeaderView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = String::from_utf8_lossy;
        f.debug_map().entries(self.iter().map(|(name, value)| (lossy(name), lossy(value)))).finish()
    }
}

/// Iterates over the headers of a [`HeaderView`].
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let end = memchr::memchr(b'\n', self.rest)?;
            let line = &self.rest[..end];
            self.rest = &self.rest[end + 1..];
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            if colon == 0 {
                continue;
            }
            return Some((&line[..colon], line[colon + 1..].trim_ascii()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut headers = Headers::new();
        headers.append("A", "1").unwrap();
        headers.append("b-C", " two words ").unwrap();
        headers.append("A", "").unwrap();
        let mut wire = Vec::new();
        headers.encode(&mut wire);
        assert_eq!(wire, b"NATS/1.0\r\nA: 1\r\nb-C:  two words \r\nA: \r\n\r\n");
        assert_eq!(wire.len(), headers.encoded_len());

        let view = headers.view();
        assert_eq!(view.get("A"), Some(&b"1"[..]));
        assert_eq!(view.get("b-C"), Some(&b"two words"[..]));
        assert_eq!(view.get("B-C"), None, "names keep their case");

        let mut changed = headers.clone();
        changed.insert("A", "3").unwrap();
        assert_eq!(changed.view().get_all("A").collect::<Vec<_>>(), [b"3"]);
        assert_eq!(changed.view().iter().count(), 2);
        assert!(changed.insert("b-C", "\n").is_err() && changed.view().get("b-C").is_some());
        assert_eq!((changed.remove("A"), changed.remove("A"), changed.remove("b-c")), (1, 0, 0));
        assert_eq!(changed.remove("b-C"), 1);
        assert_eq!(changed, Headers::new());
        assert_eq!(view.get_all("A").collect::<Vec<_>>(), [&b"1"[..], b""]);
        assert_eq!(view.status(), None);
    }

    #[test]
    fn no_byte_smuggles_a_header() {
        for byte in 0..=127u8 {
            let text = format!("a{}b", char::from(byte));
            let name_ok = (33..=126).contains(&byte) && byte != b':';
            assert_eq!(Headers::new().append(&text, "v").is_ok(), name_ok, "name byte {byte}");
            let value_ok = !matches!(byte, b'\r' | b'\n' | 0);
            assert_eq!(Headers::new().append("n", &text).is_ok(), value_ok, "value byte {byte}");
        }
        assert!(Headers::new().append("ä", "v").is_err());
        assert!(Headers::new().append("", "v").is_err());
    }

    #[test]
    fn statuses() {
        for (block, expected) in [
            (&b"NATS/1.0 503\r\n\r\n"[..], Some((503, &b""[..]))),
            (b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", Some((100, b"Idle Heartbeat"))),
            (
                b"NATS/1.0 409 Consumer is push based - x\r\n\r\n",
                Some((409, b"Consumer is push based - x")),
            ),
            (b"NATS/1.0\r\n\r\n", None),
            (b"NATS/1.0 \r\n\r\n", None),
            (b"NATS/1.0 999999\r\n\r\n", None),
            (b"NATS/1.0 40\r\n\r\n", None),
            (b"NATS/1.0 abc\r\n\r\n", None),
            (b"HTTP/1.1 200 OK\r\n\r\n", None),
            (b"", None),
        ] {
            let status =
                HeaderView::new(block).status().map(|status| (status.code, status.description));
            assert_eq!(status, expected, "{}", String::from_utf8_lossy(block));
        }
    }

    #[test]
    fn malformed_blocks_are_read_as_far_as_they_go() {
        for (block, expected) in [
            (&b"no version\r\nA: 1\r\n\r\n"[..], vec![("A", "1")]),
            (b"NATS/1.0\r\nno colon\r\nA: 1\r\n\r\n", vec![("A", "1")]),
            (b"NATS/1.0\r\n: empty name\r\nA: 1\r\n\r\n", vec![("A", "1")]),
            (b"NATS/1.0\r\nA: bare\rreturn\r\n\r\n", vec![("A", "bare\rreturn")]),
            (b"NATS/1.0\nA:1\nB:2\n\n", vec![("A", "1"), ("B", "2")]),
            (b"NATS/1.0\r\nA: unterminated", vec![]),
            (b"NATS/1.0", vec![]),
            (b"", vec![]),
        ] {
            let view = HeaderView::new(block);
            let seen: Vec<_> = view
                .iter()
                .map(|(name, value)| {
                    (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap())
                })
                .collect();
            assert_eq!(seen, expected, "{}", String::from_utf8_lossy(block));
        }
    }

    #[test]
    fn a_check_names_the_first_fault() {
        use MalformedHeaders::*;
        for (block, expected) in [
            (&b"NATS/1.0\r\n\r\n"[..], Ok(())),
            (b"NATS/1.0\r\nA: 1\r\nA:2\r\nB:\r\n\r\n", Ok(())),
            ("NATS/1.0\r\nA: ä:ö\t\r\n\r\n".as_bytes(), Ok(())),
            (b"NATS/1.0 503\r\n\r\n", Ok(())),
            (b"NATS/1.0 100 Idle Heartbeat\r\nA: 1\r\n\r\n", Ok(())),
            (b"", Err(NoVersion)),
            (b"A: 1\r\n\r\n", Err(NoVersion)),
            (b"\r\n", Err(NoVersion)),
            (b"NATS/1.1\r\n\r\n", Err(NoVersion)),
            (b"nats/1.0\r\n\r\n", Err(NoVersion)),
            (b"NATS/1.0 999999\r\n\r\n", Err(BadStatus)),
            (b"NATS/1.0 abc\r\n\r\n", Err(BadStatus)),
            (b"NATS/1.0\r\nno colon\r\n\r\n", Err(NoColon { at: 10 })),
            (b"NATS/1.0\r\nA: 1\r\n: 1\r\n\r\n", Err(EmptyName { at: 16 })),
            (b"NATS/1.0\r\nA b: 1\r\n\r\n", Err(ForbiddenInName { at: 11, byte: b' ' })),
            (b"NATS/1.0\r\n A: 1\r\n\r\n", Err(ForbiddenInName { at: 10, byte: b' ' })),
            (b"NATS/1.0\r\nA\xff: 1\r\n\r\n", Err(ForbiddenInName { at: 11, byte: 0xff })),
            (b"NATS/1.0\r\nA: 1\r2\r\n\r\n", Err(ForbiddenInValue { at: 14, byte: b'\r' })),
            (b"NATS/1.0\r\nA: 1\r\r\n\r\n", Err(ForbiddenInValue { at: 14, byte: b'\r' })),
            (b"NATS/1.0\r\nA: \0\r\n\r\n", Err(ForbiddenInValue { at: 13, byte: 0 })),
            (b"NATS/1.0\r\nA: 1\xff\r\n\r\n", Err(NotUtf8 { at: 14 })),
            (b"NATS/1.0\nA: 1\n\n", Err(BareNewline { at: 8 })),
            (b"NATS/1.0\r\nA: 1\n\r\n", Err(BareNewline { at: 14 })),
            (b"NATS/1.0", Err(NotTerminated)),
            (b"NATS/1.0\r\n", Err(NotTerminated)),
            (b"NATS/1.0\r\nA: 1", Err(NotTerminated)),
            (b"NATS/1.0\r\nA: 1\r\n", Err(NotTerminated)),
            (b"NATS/1.0\r\n\r\nA: 1\r\n\r\n", Err(GoesOn { at: 12 })),
        ] {
            assert_eq!(HeaderView::new(block).check(), expected, "{}", block.escape_ascii());
        }
        let headers = Headers::new().with("A", " ä\t").unwrap().with("B", "").unwrap();
        assert_eq!(headers.view().check(), Ok(()), "what we send is well formed");
    }
}
