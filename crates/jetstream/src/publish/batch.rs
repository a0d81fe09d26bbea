use std::fmt::Write as _;

use jetlane_client::proto::encode;
use jetlane_client::{AsSubject, Client, HeaderBlock, HeaderView};

use super::AtomicError;

/// Servers take no more messages in one batch, unless they are told otherwise.
const MOST: usize = 1000;

/// Atomic batches are known from this level of the API on: nats-server 2.12.
const API_LEVEL: u32 = 2;

const NO_HEADERS: &[u8] = b"NATS/1.0\r\n";

/// Messages that are to be stored all or not at all (ADR-50, server 2.12): see [`crate::JetStream::publish_atomic`]. All of them have to
/// go to one stream, which has to allow it ([`crate::StreamConfig::allow_atomic`]).
///
/// ```
/// # use jetlane_client::Client;
/// # use jetlane_jetstream::{JetStream, StreamConfig};
/// use jetlane_jetstream::AtomicBatch;
/// # let server = jetlane_testkit::Server::start()?;
/// # let js = JetStream::new(Client::connect(&server.url())?)?;
///
/// js.create_stream(&StreamConfig::new("ORDERS").subject("order.>").allow_atomic()).wait()?;
/// let mut batch = AtomicBatch::new();
/// batch.add("order.created", "{}")?;
/// batch.add("order.paid", "{}")?;
/// let stored = js.publish_atomic(&batch)?.wait()?;
/// assert_eq!(stored.sequences(), 1..=2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AtomicBatch {
    /// Of each message: subject, header block without the line that ends it, payload.
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

/// Where the pieces of a message end: `start <= subject <= headers <= payload`.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    subject: usize,
    headers: usize,
    payload: usize,
}

impl AtomicBatch {
    /// A batch without messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`AtomicError`] says what is wrong with it; the batch is as it was then.
    pub fn add(
        &mut self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), AtomicError> {
        let subject = subject.as_subject().map_err(super::PublishError::from)?;
        self.push(subject.as_bytes(), NO_HEADERS, payload.as_ref())
    }

    /// As [`AtomicBatch::add`], with headers. Servers refuse `Nats-Expected-Last-Msg-Id` in a batch.
    ///
    /// # Errors
    /// As [`AtomicBatch::add`].
    pub fn add_with(
        &mut self,
        subject: impl AsSubject,
        headers: &impl HeaderBlock,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), AtomicError> {
        let subject = subject.as_subject().map_err(super::PublishError::from)?;
        let mut block = Vec::with_capacity(headers.encoded_len());
        headers.encode(&mut block);
        let block = without_end(&block).ok_or(AtomicError::Headers)?;
        self.push(subject.as_bytes(), block, payload.as_ref())
    }

    /// How many messages it has.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn push(&mut self, subject: &[u8], headers: &[u8], payload: &[u8]) -> Result<(), AtomicError> {
        if self.len() == MOST {
            return Err(AtomicError::TooMany { count: MOST + 1, most: MOST });
        }
        let start = self.bytes.len();
        let [subject, headers, payload] = [subject, headers, payload].map(|piece| {
            self.bytes.extend_from_slice(piece);
            self.bytes.len()
        });
        self.parts.push(Part { start, subject, headers, payload });
        Ok(())
    }

    /// Checks that it can be sent on this connection under the name `id`, and returns how many bytes it takes at most.
    pub(super) fn check(&self, client: &Client, id: &str) -> Result<usize, AtomicError> {
        if self.is_empty() {
            return Err(AtomicError::Empty);
        }
        let info = client.server_info();
        // Before the first connection nothing is known of the server.
        if !info.version.is_empty() && info.api_level < API_LEVEL {
            return Err(AtomicError::Unsupported { api_level: info.api_level });
        }
        let mut bytes = 0;
        for message in self.messages(id) {
            let size = message.encoded_len() + message.payload.len();
            client.check_size(size).map_err(super::PublishError::from)?;
            bytes += super::frame_len(message.subject.len() + size);
        }
        let limits = client.limits();
        let most = limits.reconnect_bytes.max(limits.write_queue_bytes);
        if bytes > most { Err(AtomicError::TooLong { bytes, most }) } else { Ok(bytes) }
    }

    /// Writes all frames. Each asks for an answer: it is empty while all is well, and the first one that is not says what is wrong.
    pub(super) fn encode(
        &self,
        out: &mut Vec<u8>,
        reply: &[u8],
        id: &str,
    ) -> Result<(), jetlane_client::PublishError> {
        for message in self.messages(id) {
            let (subject, payload) = (message.subject, message.payload);
            encode::publish_with_headers(out, subject, reply, &message, payload)?;
        }
        Ok(())
    }

    fn messages(&self, id: &str) -> impl Iterator<Item = Member<'_>> {
        let last = self.len();
        self.parts.iter().zip(1..).map(move |(part, number)| {
            let Part { start, subject, headers, payload } = *part;
            let mut place = format!("Nats-Batch-Id: {id}\r\nNats-Batch-Sequence: {number}\r\n");
            if number == last {
                let _ = write!(place, "Nats-Batch-Commit: 1\r\n");
            }
            Member {
                subject: &self.bytes[start..subject],
                headers: &self.bytes[subject..headers],
                payload: &self.bytes[headers..payload],
                place,
            }
        })
    }
}

/// A message with its place in the batch.
struct Member<'a> {
    subject: &'a [u8],
    headers: &'a [u8],
    payload: &'a [u8],
    place: String,
}

impl HeaderBlock for Member<'_> {
    fn encoded_len(&self) -> usize {
        self.headers.len() + self.place.len() + 2
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for part in [self.headers, self.place.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// A header block without the empty line at its end. `None` if it is malformed, or has headers by which a batch is made.
fn without_end(block: &[u8]) -> Option<&[u8]> {
    let view = HeaderView::new(block);
    view.check().ok()?;
    let is_ours = |name: &[u8]| {
        let start = name.get(..b"Nats-Batch-".len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(b"Nats-Batch-"))
    };
    if view.iter().any(|(name, _)| is_ours(name)) {
        return None;
    }
    block.strip_suffix(b"\r\n").filter(|lines| lines.ends_with(b"\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jetlane_client::Headers;

    #[test]
    fn each_message_says_its_place_and_the_last_one_commits() {
        let mut batch = AtomicBatch::new();
        batch.add("a", "1").unwrap();
        let headers = Headers::new().with("K", "v").unwrap();
        batch.add_with("b.c", &headers, "22").unwrap();
        let mut out = Vec::new();
        batch.encode(&mut out, b"r", "id").unwrap();
        let first = "NATS/1.0\r\nNats-Batch-Id: id\r\nNats-Batch-Sequence: 1\r\n\r\n";
        let second = "NATS/1.0\r\nK: v\r\nNats-Batch-Id: id\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\n\r\n";
        let frames = format!(
            "HPUB a r {} {}\r\n{first}1\r\nHPUB b.c r {} {}\r\n{second}22\r\n",
            first.len(),
            first.len() + 1,
            second.len(),
            second.len() + 2,
        );
        assert_eq!(String::from_utf8(out).unwrap(), frames);
    }

    #[test]
    fn what_can_not_be_part_of_a_batch_is_refused_and_leaves_it_as_it_was() {
        struct Raw(&'static [u8]);
        impl HeaderBlock for Raw {
            fn encoded_len(&self) -> usize {
                self.0.len()
            }
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0);
            }
        }
        let mut batch = AtomicBatch::new();
        for block in [
            &b"NATS/1.0\r\nNats-Batch-Id: mine\r\n\r\n"[..],
            b"NATS/1.0\r\nnats-batch-commit: 1\r\n\r\n",
            b"NATS/1.0\r\nA: 1\r\n",
            b"NATS/1.0\r\n",
            b"",
            b"A: 1\r\n\r\n",
        ] {
            assert_eq!(batch.add_with("a", &Raw(block), ""), Err(AtomicError::Headers));
        }
        assert!(matches!(batch.add("a b", ""), Err(AtomicError::Publish(_))));
        assert!(batch.is_empty());
        (0..MOST).for_each(|_| batch.add_with("a", &Raw(b"NATS/1.0\r\n\r\n"), "").unwrap());
        let too_many = AtomicError::TooMany { count: MOST + 1, most: MOST };
        assert_eq!(batch.add("a", ""), Err(too_many));
        assert_eq!(batch.len(), MOST);
    }
}
