use std::sync::Arc;

use jetlane_proto::HeaderView;

/// What a message carries: its headers as they were written, and its payload. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    bytes: Arc<[u8]>,
    headers_len: usize,
}

impl Content {
    pub(crate) fn new(headers: &[u8], payload: &[u8]) -> Self {
        Self { bytes: [headers, payload].concat().into(), headers_len: headers.len() }
    }

    pub(crate) fn payload_only(payload: impl AsRef<[u8]>) -> Self {
        Self::new(&[], payload.as_ref())
    }

    /// Only headers, with a status such as `404 No Messages`, and more headers of which each ends its line.
    pub(crate) fn status(status: &str, more: &str) -> Self {
        Self::new(format!("NATS/1.0 {status}\r\n{more}\r\n").as_bytes(), &[])
    }

    /// Empty if there are none.
    pub(crate) fn headers(&self) -> &[u8] {
        &self.bytes[..self.headers_len]
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[self.headers_len..]
    }

    /// Headers and payload.
    pub(crate) fn all(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The value of a header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = HeaderView::new(self.headers()).get(name)?;
        std::str::from_utf8(value).ok()
    }

    /// The same payload, with lines added at the end of the headers. Each of them ends with `\r\n`.
    pub(crate) fn with_lines(&self, lines: &str) -> Self {
        let own = self.headers().strip_suffix(b"\r\n").unwrap_or(b"NATS/1.0\r\n");
        let headers = [own, lines.as_bytes(), b"\r\n"].concat();
        Self::new(&headers, self.payload())
    }

    /// The headers alone, and how long the payload was.
    pub(crate) fn headers_only(&self) -> Self {
        let sized = self.with_lines(&format!("Nats-Msg-Size: {}\r\n", self.payload().len()));
        Self::new(sized.headers(), &[])
    }
}
