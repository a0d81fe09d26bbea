use crate::{Span, read_decimal, scan};

const PREFIX: &[u8] = b"$JS.ACK.";

/// The JetStream metadata of a message, read from the subject that its ack goes to.
///
/// Spans are positions in that subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The stream it is stored in.
    pub stream: Span,
    /// The consumer it was delivered for.
    pub consumer: Span,
    /// How many times it was delivered, this time included. Above 1 it is a redelivery.
    pub delivered: u64,
    /// Its place in the stream.
    pub stream_sequence: u64,
    /// The place of this delivery among those of the consumer.
    pub consumer_sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// How many messages the consumer still had to deliver.
    pub pending: u64,
}

impl Delivery {
    /// Reads an ack subject: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`, or
    /// the form with domain and account hash before the stream (11 tokens or more; those behind `pending` mean nothing
    /// to us). `None` for anything else.
    #[inline]
    pub fn read(reply: &[u8]) -> Option<Self> {
        Self::read_usual(reply).or_else(|| Self::read_any(reply))
    }

    /// The short form, all in one pass. `None` also for what is only unusual.
    #[inline]
    fn read_usual(reply: &[u8]) -> Option<Self> {
        if !reply.starts_with(PREFIX) {
            return None;
        }
        let stream = scan::token(reply, PREFIX.len())?;
        let consumer = scan::token(reply, stream.range().end + 1)?;
        let delivered_at = consumer.range().end + 1;
        let (delivered, end) = scan::small_number(reply, delivered_at)?;
        let (stream_sequence, end) = scan::number(reply, behind_dot(reply, end)?)?;
        let (consumer_sequence, end) = scan::number(reply, behind_dot(reply, end)?)?;
        let (timestamp_ns, end) = scan::number(reply, behind_dot(reply, end)?)?;
        // In the long form something follows, and the other tokens mean something else.
        let (pending, end) = scan::number(reply, behind_dot(reply, end)?)?;
        if end < reply.len() {
            return None;
        }
        Some(Self {
            stream,
            consumer,
            delivered,
            stream_sequence,
            consumer_sequence,
            timestamp_ns,
            pending,
        })
    }

    #[cold]
    fn read_any(reply: &[u8]) -> Option<Self> {
        if !reply.starts_with(PREFIX) {
            return None;
        }
        // Dots found: 9 tokens have 8 of them, the longer form 10 or more.
        let mut dots = [0usize; 11];
        let mut count = 0;
        for at in memchr::memchr_iter(b'.', reply) {
            if let Some(dot) = dots.get_mut(count) {
                *dot = at;
            }
            count += 1;
        }
        // A sentinel at the end makes the last token look like the others.
        if let Some(dot) = dots.get_mut(count) {
            *dot = reply.len();
        }
        let first = match count {
            8 => 1,
            10.. => 3,
            _ => return None,
        };
        let token = |index: usize| Span::new(dots[first + index] + 1..dots[first + index + 1]);
        let number = |index: usize| read_decimal(token(index).of(reply));
        let (stream, consumer) = (token(0), token(1));
        if stream.is_empty() || consumer.is_empty() {
            return None;
        }
        Some(Self {
            stream,
            consumer,
            delivered: number(2)?,
            stream_sequence: number(3)?,
            consumer_sequence: number(4)?,
            timestamp_ns: number(5)?,
            pending: number(6)?,
        })
    }
}

/// The position behind `at`, if a dot stands there.
#[inline]
fn behind_dot(reply: &[u8], at: usize) -> Option<usize> {
    (reply.get(at) == Some(&b'.')).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_subjects() {
        let expected = Some(("S", "C", [1, 20, 3, 1_795_211_446_143_991_989, 5]));
        for (reply, expected) in [
            ("$JS.ACK.S.C.1.20.3.1795211446143991989.5", expected),
            ("$JS.ACK.hub.NUmM6cRx.S.C.1.20.3.1795211446143991989.5", expected),
            ("$JS.ACK._.NUmM6cRx.S.C.1.20.3.1795211446143991989.5", expected),
            ("$JS.ACK._.NUmM6cRx.S.C.1.20.3.1795211446143991989.5.token", expected),
            ("$JS.ACK._.NUmM6cRx.S.C.1.20.3.1795211446143991989.5.a.b.c", expected),
            ("$JS.ACK.x.S.C.1.20.3.1795211446143991989.5", None),
            ("$JS.ACK.S.C.1.20.3.1795211446143991989", None),
            ("$JS.ACK.S.C.1.20.3.1795211446143991989.", None),
            ("$JS.ACK.S.C.1.x.3.1795211446143991989.5", None),
            ("$JS.ACK..C.1.20.3.1795211446143991989.5", None),
            ("$JS.ACK.S.C.1.20.3.99999999999999999999999.5", None),
            ("$JS.ACK.........", None),
            ("$JS.ACK.", None),
            ("_INBOX.x.1", None),
            ("", None),
        ] {
            let bytes = reply.as_bytes();
            let seen = Delivery::read(bytes).map(|d| {
                let text = |span: Span| std::str::from_utf8(span.of(bytes)).unwrap();
                let numbers = [
                    d.delivered,
                    d.stream_sequence,
                    d.consumer_sequence,
                    d.timestamp_ns,
                    d.pending,
                ];
                (text(d.stream), text(d.consumer), numbers)
            });
            assert_eq!(seen, expected, "{reply}");
        }
    }
}
