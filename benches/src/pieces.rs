//! The pieces of the hot path, one by one: for criterion, which times them, and for callgrind, which counts their
//! instructions. Every run of a piece checks what comes out, so that a wrong answer fails instead of looking fast.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jetlane::Envelope;
use jetlane::client::{Arena, Inbox, MessageRef};
use jetlane_proto::jetstream::{Delivery, PubAck, PullConfig, PullScheduler};
use jetlane_proto::{
    Frame, HeaderBlock, HeaderView, Headers, Limits, Parser, Step, check_subject, encode,
};
use jetlane_ring::{PendingRing, RingConfig, Token};

/// How many elements a run of most pieces handles: about what one turn of a busy reactor does.
pub const BATCH: u64 = 256;

const SUBJECT: &str = "orders.eu.customer-4711.created";
const ACK_SUBJECT: &[u8] = b"$JS.ACK.ORDERS.billing.1.8412345.8412001.1795211446143991989.12";
const PAYLOAD: &[u8; 16] = b"0123456789abcdef";

/// What an event of the bus carries, or more.
const HEADERS: [(&str, &str); 7] = [
    ("Nats-Msg-Id", "01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b"),
    ("ce-id", "01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b"),
    ("ce-type", "order.created"),
    ("ce-source", "/orders"),
    ("ce-time", "2026-11-20T12:00:00.123456Z"),
    ("content-type", "application/json"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
];

/// An event of the bus, as `Envelope` writes it.
const EVENT: [(&str, &str); 6] = [
    ("X-Aggregate-ID", "order-4711"),
    ("X-Event-Type", "OrderCreated"),
    ("X-Event-ID", "01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b"),
    ("Nats-Msg-Id", "01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b"),
    ("X-Event-Version", "3"),
    ("X-Timestamp", "2026-11-20T12:00:00.123456Z"),
];

/// One piece of the hot path.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// What it is called: the part, a slash, and what of it.
    pub name: &'static str,
    /// How many messages, answers or subjects one run handles.
    pub elements: u64,
    /// Makes what runs it once.
    pub make: fn() -> Box<dyn FnMut()>,
}

/// All of them.
pub fn all() -> Vec<Piece> {
    let piece = |name, elements, make| Piece { name, elements, make };
    vec![
        piece("parser/msg_16b", BATCH, || parser(msg(16), 16)),
        piece("parser/msg_128b", BATCH, || parser(msg(128), 128)),
        piece("parser/js_msg_128b", BATCH, || parser(js_msg(128), 128)),
        piece("parser/pub_ack", BATCH, || parser(pub_ack_msg(), 33)),
        piece("parser/hmsg_7_headers", BATCH, || parser(hmsg(128), 128)),
        piece("encoder/pub_16b", BATCH, encode_pub),
        piece("encoder/hpub_7_headers_16b", BATCH, encode_hpub),
        piece("pub_ack/usual", 1, || pub_ack(r#"{"stream":"ORDERS","seq":8412345}"#)),
        piece("pub_ack/by_json", 1, || pub_ack(r#"{"stream":"ORDERS","seq":8412345,"val":"3"}"#)),
        piece("ack_subject/read", 1, ack_subject),
        piece("reply_subject/write_and_read", BATCH, reply_subject),
        piece("subject/check", 1, || {
            Box::new(|| assert_eq!(check_subject(black_box(SUBJECT)), Ok(())))
        }),
        piece("header_walk/all_7", 1, walk_headers),
        piece("header_walk/get_last_of_7", 1, get_last_header),
        piece("pull_scheduler/held", BATCH, schedule_held),
        piece("pull_scheduler/at_once", BATCH, schedule_at_once),
        piece("ring/one_by_one", 1, || ring(1)),
        piece("ring/batches_of_256", BATCH, || ring(BATCH)),
        piece("envelope/new", 1, new_envelope),
        piece("envelope/read", 1, read_envelope),
    ]
}

fn seven_headers() -> Headers {
    let mut headers = Headers::new();
    for (name, value) in HEADERS {
        headers.append(name, value).expect("a good header");
    }
    headers
}

fn msg(payload_len: usize) -> Vec<u8> {
    let payload = "x".repeat(payload_len);
    format!("MSG {SUBJECT} 7 {payload_len}\r\n{payload}\r\n").into_bytes()
}

fn js_msg(payload_len: usize) -> Vec<u8> {
    let line = format!(" {payload_len}\r\n{}\r\n", "x".repeat(payload_len));
    [b"MSG ", SUBJECT.as_bytes(), b" 7 ", ACK_SUBJECT, line.as_bytes()].concat()
}

fn pub_ack_msg() -> Vec<u8> {
    b"MSG _INBOX.ABCDEFGHIJKL.0123 7 33\r\n{\"stream\":\"ORDERS\",\"seq\":8412345}\r\n".to_vec()
}

fn hmsg(payload_len: usize) -> Vec<u8> {
    let mut frame = Vec::from(b"H");
    let headers = seven_headers();
    encode::publish_with_headers(&mut frame, b"s", b"r", &headers, &vec![b'x'; payload_len])
        .expect("headers keep their length");
    let (line, body) = frame.split_at(frame.iter().position(|&b| b == b'\n').expect("a line") + 1);
    // The same sizes behind another beginning.
    let sizes = line.strip_prefix(b"HHPUB s r ").expect("an HPUB line");
    [b"HMSG ", SUBJECT.as_bytes(), b" 7 ", ACK_SUBJECT, b" ", sizes, body].concat()
}

fn parser(frame: Vec<u8>, payload_len: u64) -> Box<dyn FnMut()> {
    let input = frame.repeat(usize::try_from(BATCH).expect("small"));
    let expected = (BATCH, BATCH * 7, BATCH * payload_len);
    Box::new(move || assert_eq!(read_messages(black_box(&input)), expected))
}

/// How many messages there are in `input`, and the sums of their subscription numbers and payload lengths.
fn read_messages(input: &[u8]) -> (u64, u64, u64) {
    let mut parser = Parser::new(&Limits::default());
    let (mut messages, mut sids, mut payload_bytes) = (0, 0, 0);
    let mut rest = input;
    loop {
        // As the reactor asks.
        let (message, taken) = match parser.next_message(rest) {
            Some(found) => found,
            None => match parser.next(rest) {
                Ok(Step::Frame(Frame::Message(message), taken)) => (message, taken),
                _ => break,
            },
        };
        messages += 1;
        sids += message.sid;
        payload_bytes += message.payload.len() as u64;
        rest = &rest[taken..];
    }
    assert!(rest.is_empty(), "the input is whole messages");
    (messages, sids, payload_bytes)
}

fn encode_pub() -> Box<dyn FnMut()> {
    let expected = format!("PUB {SUBJECT} _INBOX.a.1 16\r\n0123456789abcdef\r\n");
    let mut out = Vec::with_capacity(1 << 16);
    Box::new(move || {
        out.clear();
        for _ in 0..BATCH {
            let payload = black_box(&PAYLOAD[..]);
            encode::publish(&mut out, black_box(SUBJECT.as_bytes()), b"_INBOX.a.1", payload);
        }
        assert_eq!(out.len() as u64, expected.len() as u64 * BATCH);
        assert!(out.ends_with(expected.as_bytes()));
    })
}

fn encode_hpub() -> Box<dyn FnMut()> {
    let headers = seven_headers();
    let expected = hpub_by_hand();
    let mut out = Vec::with_capacity(1 << 18);
    Box::new(move || {
        out.clear();
        for _ in 0..BATCH {
            let (subject, payload) = (black_box(SUBJECT.as_bytes()), black_box(&PAYLOAD[..]));
            encode::publish_with_headers(&mut out, subject, b"r", black_box(&headers), payload)
                .expect("headers keep their length");
        }
        assert_eq!(out.len() as u64, expected.len() as u64 * BATCH);
        assert!(out.ends_with(expected.as_bytes()));
    })
}

fn hpub_by_hand() -> String {
    let lines: String =
        HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let block = format!("NATS/1.0\r\n{lines}\r\n");
    let (header_len, len) = (block.len(), block.len() + 16);
    format!("HPUB {SUBJECT} r {header_len} {len}\r\n{block}0123456789abcdef\r\n")
}

fn pub_ack(body: &'static str) -> Box<dyn FnMut()> {
    let expected = Ok(PubAck { sequence: 8_412_345, duplicate: false });
    Box::new(move || assert_eq!(PubAck::read(black_box(body.as_bytes())), expected))
}

fn ack_subject() -> Box<dyn FnMut()> {
    Box::new(|| {
        let delivery = Delivery::read(black_box(ACK_SUBJECT)).expect("an ack subject");
        assert_eq!((delivery.stream_sequence, delivery.pending), (8_412_345, 12));
    })
}

fn reply_subject() -> Box<dyn FnMut()> {
    let inbox = Inbox::new();
    Box::new(move || {
        for slot in 0..256 {
            let token = Token { slot, epoch: 0 };
            let reply = inbox.subject(black_box(token));
            assert_eq!(inbox.token(black_box(reply.as_bytes())), Some(token));
        }
    })
}

fn walk_headers() -> Box<dyn FnMut()> {
    let headers = seven_headers();
    let bytes: usize = HEADERS.iter().map(|(name, value)| name.len() + value.len()).sum();
    Box::new(move || {
        let view = HeaderView::new(black_box(headers.view().as_bytes()));
        let walked: usize = view.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(walked, bytes);
    })
}

fn get_last_header() -> Box<dyn FnMut()> {
    let headers = seven_headers();
    Box::new(move || {
        let view = HeaderView::new(black_box(headers.view().as_bytes()));
        assert_eq!(view.get("traceparent"), Some(HEADERS[6].1.as_bytes()));
    })
}

fn pull_config() -> PullConfig {
    PullConfig {
        messages: 4096,
        least_messages: 100,
        bytes: 32 << 20,
        expires: Duration::from_secs(30),
        heartbeat: Duration::from_secs(5),
        ack_wait: Duration::from_secs(30),
    }
}

/// A batch comes, is held, settled and handled; more is asked for in time.
fn schedule_held() -> Box<dyn FnMut()> {
    schedule(|scheduler, messages, now| {
        for _ in 0..messages {
            scheduler.on_message(black_box(128), 128, now);
            scheduler.on_settled(1, 128);
            scheduler.on_handled(1, now);
        }
    })
}

/// As above, with messages that are settled as they come.
fn schedule_at_once() -> Box<dyn FnMut()> {
    schedule(|scheduler, messages, now| {
        for _ in 0..messages {
            scheduler.on_passing_message(black_box(128), now);
        }
        scheduler.on_passed(messages, now);
    })
}

/// Turns of the reactor, until a batch has come.
fn schedule(turn: fn(&mut PullScheduler, usize, Instant)) -> Box<dyn FnMut()> {
    let mut now = Instant::now();
    let mut scheduler = PullScheduler::new(pull_config(), now);
    Box::new(move || {
        let mut left = 256;
        while left > 0 {
            now += Duration::from_micros(100);
            while scheduler.poll(black_box(now)).is_some() {}
            let messages = left.min(scheduler.outstanding());
            assert!(messages > 0, "more is asked for in time");
            turn(&mut scheduler, messages, now);
            left -= messages;
            assert_eq!(scheduler.held(), 0);
        }
    })
}

/// Claim, complete and take on one thread: the ring without any contention.
fn ring(batch: u64) -> Box<dyn FnMut()> {
    let ring = PendingRing::<u64>::new(RingConfig { capacity: 1024, window: 512 });
    let mut completer = ring.completer();
    let mut waiting = Vec::with_capacity(1024);
    Box::new(move || {
        for _ in 0..batch {
            let claim = ring.claim(black_box(100)).expect("the window is open");
            waiting.push((claim.token(), claim.into_ticket()));
        }
        for (answer, (token, _)) in (0..).zip(&waiting) {
            completer.complete(*token, answer).expect("nobody was faster");
        }
        completer.flush();
        let answers = waiting.drain(..).filter_map(|(_, mut ticket)| ticket.try_take());
        assert_eq!(answers.sum::<u64>(), batch * (batch - 1) / 2);
        assert_eq!(ring.in_flight(), 0);
    })
}

fn new_envelope() -> Box<dyn FnMut()> {
    Box::new(|| {
        let (id, kind) = (black_box("order-4711"), "OrderCreated");
        let event = Envelope::new(id, kind, &b"{\"total\":17}"[..]).with_event_version(3);
        assert_eq!((event.aggregate_id(), event.event_version()), ("order-4711", 3));
    })
}

fn read_envelope() -> Box<dyn FnMut()> {
    let mut headers = Headers::new();
    for (name, value) in EVENT {
        headers.append(name, value).expect("a good header");
    }
    let (head, body) = (headers.encoded_len(), b"{\"total\":17}");
    let line = format!("HMSG {SUBJECT} 7 {head} {}\r\n", head + body.len());
    let frame = [line.as_bytes(), headers.view().as_bytes(), body, b"\r\n"].concat();
    let message = MessageRef::read(&frame).expect("a frame").to_message(&mut Arena::new());
    Box::new(move || {
        let event = Envelope::read(black_box(&message)).expect("an event");
        assert_eq!((event.aggregate_id(), event.event_version()), ("order-4711", 3));
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_pieces_run_again_and_again() {
        for piece in super::all() {
            let mut run = (piece.make)();
            (0..3).for_each(|_| run());
        }
    }
}
