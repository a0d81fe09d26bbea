//! What each piece costs alone: parser, encoder, readers, subject check, pull scheduler, ring and lanes.
//!
//! Every benchmark checks what comes out, so that a wrong answer fails instead of looking fast. Throughput is in elements:
//! one is a message, an answer or a job.
//!
//! `cargo bench -p jetlane-bench --bench pieces -- [--quick] [part of a name]`
#![allow(missing_docs, reason = "criterion's macros make public functions without docs")]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jetlane_lanes::{Config, Feeder, Key, Lanes, Step as JobStep, Worker};
use jetlane_proto::jetstream::{Delivery, PubAck, PullConfig, PullScheduler};
use jetlane_proto::{Frame, HeaderView, Headers, Limits, Parser, Step, check_subject, encode};
use jetlane_ring::{PendingRing, RingConfig};

criterion_group!(
    pieces,
    parser,
    encoder,
    pub_ack,
    ack_subject,
    subject,
    header_walk,
    pull_scheduler,
    ring,
    lanes
);
criterion_main!(pieces);

/// How many elements one iteration handles: about what one turn of a busy reactor does.
const BATCH: u64 = 256;

const SUBJECT: &str = "orders.eu.customer-4711.created";
const ACK_SUBJECT: &[u8] = b"$JS.ACK.ORDERS.billing.1.8412345.8412001.1795211446143991989.12";

const PAYLOAD: &[u8; 16] = b"0123456789abcdef";

/// What an event of the bus carries.
const HEADERS: [(&str, &str); 7] = [
    ("Nats-Msg-Id", "01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b"),
    ("ce-id", "01939f7c-52f1-7cc0-b0a3-6a5f3e1d2c4b"),
    ("ce-type", "order.created"),
    ("ce-source", "/orders"),
    ("ce-time", "2026-11-20T12:00:00.123456Z"),
    ("content-type", "application/json"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
];

fn seven_headers() -> Headers {
    let mut headers = Headers::new();
    for (name, value) in HEADERS {
        headers.insert(name, value).expect("a good header");
    }
    headers
}

fn msg(payload_len: usize) -> Vec<u8> {
    let payload = "x".repeat(payload_len);
    format!("MSG {SUBJECT} 7 {payload_len}\r\n{payload}\r\n").into_bytes()
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

fn parser(c: &mut Criterion) {
    let mut group = c.benchmark_group("parser");
    group.throughput(Throughput::Elements(BATCH));
    for (name, payload_len, frame) in
        [("msg_16b", 16, msg(16)), ("msg_128b", 128, msg(128)), ("hmsg_7_headers", 128, hmsg(128))]
    {
        let input = frame.repeat(usize::try_from(BATCH).expect("small"));
        let expected = (BATCH, BATCH * 7, BATCH * payload_len);
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(read_messages(black_box(&input)), expected));
        });
    }
}

/// How many messages there are in `input`, and the sums of their subscription numbers and payload lengths.
fn read_messages(input: &[u8]) -> (u64, u64, u64) {
    let mut parser = Parser::new(&Limits::default());
    let (mut messages, mut sids, mut payload_bytes) = (0, 0, 0);
    let mut rest = input;
    while let Ok(Step::Frame(Frame::Message(message), taken)) = parser.next(rest) {
        messages += 1;
        sids += message.sid;
        payload_bytes += message.payload.len() as u64;
        rest = &rest[taken..];
    }
    assert!(rest.is_empty(), "the input is whole messages");
    (messages, sids, payload_bytes)
}

fn encoder(c: &mut Criterion) {
    let mut group = c.benchmark_group("encoder");
    group.throughput(Throughput::Elements(BATCH));
    let headers = seven_headers();
    let mut out = Vec::with_capacity(1 << 20);

    let expected = format!("PUB {SUBJECT} _INBOX.a.1 16\r\n0123456789abcdef\r\n");
    group.bench_function("pub_16b", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..BATCH {
                let payload = black_box(&PAYLOAD[..]);
                encode::publish(&mut out, black_box(SUBJECT.as_bytes()), b"_INBOX.a.1", payload);
            }
            assert_eq!(out.len() as u64, expected.len() as u64 * BATCH);
        });
        assert!(out.chunks(expected.len()).all(|frame| frame == expected.as_bytes()));
    });

    let expected = hpub_by_hand();
    group.bench_function("hpub_7_headers_16b", |b| {
        b.iter(|| {
            out.clear();
            for _ in 0..BATCH {
                let (subject, payload) = (black_box(SUBJECT.as_bytes()), black_box(&PAYLOAD[..]));
                encode::publish_with_headers(&mut out, subject, b"r", black_box(&headers), payload)
                    .expect("headers keep their length");
            }
            assert_eq!(out.len() as u64, expected.len() as u64 * BATCH);
        });
        assert!(out.chunks(expected.len()).all(|frame| frame == expected.as_bytes()));
    });
}

fn hpub_by_hand() -> String {
    let lines: String =
        HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let block = format!("NATS/1.0\r\n{lines}\r\n");
    let (header_len, len) = (block.len(), block.len() + 16);
    format!("HPUB {SUBJECT} r {header_len} {len}\r\n{block}0123456789abcdef\r\n")
}

fn pub_ack(c: &mut Criterion) {
    let mut group = c.benchmark_group("pub_ack");
    group.throughput(Throughput::Elements(1));
    for (name, body) in [
        ("usual", r#"{"stream":"ORDERS","seq":8412345}"#),
        ("by_json", r#"{"stream":"ORDERS","seq":8412345,"val":"3"}"#),
    ] {
        let expected = Ok(PubAck { sequence: 8_412_345, duplicate: false });
        group.bench_function(name, |b| {
            b.iter(|| assert_eq!(PubAck::read(black_box(body.as_bytes())), expected));
        });
    }
}

fn ack_subject(c: &mut Criterion) {
    let mut group = c.benchmark_group("ack_subject");
    group.throughput(Throughput::Elements(1));
    group.bench_function("read", |b| {
        b.iter(|| {
            let delivery = Delivery::read(black_box(ACK_SUBJECT)).expect("an ack subject");
            assert_eq!((delivery.stream_sequence, delivery.pending), (8_412_345, 12));
        });
    });
}

fn subject(c: &mut Criterion) {
    let mut group = c.benchmark_group("subject");
    group.throughput(Throughput::Elements(1));
    group.bench_function("check", |b| {
        b.iter(|| assert_eq!(check_subject(black_box(SUBJECT)), Ok(())));
    });
}

fn header_walk(c: &mut Criterion) {
    let headers = seven_headers();
    let block = headers.view().as_bytes();
    let bytes: usize = HEADERS.iter().map(|(name, value)| name.len() + value.len()).sum();
    let mut group = c.benchmark_group("header_walk");
    group.throughput(Throughput::Elements(1));
    group.bench_function("all_7", |b| {
        b.iter(|| {
            let view = HeaderView::new(black_box(block));
            let walked: usize = view.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert_eq!(walked, bytes);
        });
    });
    group.bench_function("get_last_of_7", |b| {
        b.iter(|| {
            let view = HeaderView::new(black_box(block));
            assert_eq!(view.get("traceparent"), Some(HEADERS[6].1.as_bytes()));
        });
    });
}

/// One step: a message is delivered and settled, and the scheduler is asked whether to pull.
fn pull_scheduler(c: &mut Criterion) {
    let mut now = Instant::now();
    let config = PullConfig {
        messages: 4096,
        bytes: 32 << 20,
        expires: Duration::from_secs(30),
        heartbeat: Duration::from_secs(5),
        ack_wait: Duration::from_secs(30),
    };
    let mut scheduler = PullScheduler::new(config, now);
    let (mut requested, mut delivered) = (0, 0);
    let mut group = c.benchmark_group("pull_scheduler");
    group.throughput(Throughput::Elements(1));
    group.bench_function("step", |b| {
        b.iter(|| {
            now += Duration::from_micros(1);
            if let Some(pull) = scheduler.poll(black_box(now)) {
                requested += pull.batch;
            }
            scheduler.on_message(black_box(128), 128, now);
            delivered += 1;
            scheduler.on_settled(1, 128);
            scheduler.on_handled(1, now);
            assert!(delivered <= requested, "a server sends nothing that was not asked for");
        });
    });
    assert_eq!((scheduler.outstanding(), scheduler.held()), (requested - delivered, 0));
}

/// Claim, complete and take on one thread: the ring without any contention.
fn ring(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    for (name, batch) in [("one_by_one", 1), ("batches_of_256", BATCH)] {
        group.throughput(Throughput::Elements(batch));
        let ring = PendingRing::<u64>::new(RingConfig { capacity: 1024, window: 512 });
        let mut completer = ring.completer();
        let mut waiting = Vec::with_capacity(1024);
        group.bench_function(name, |b| {
            b.iter(|| {
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
            });
        });
        assert_eq!(ring.in_flight(), 0);
    }
}

/// Adds up the jobs it has run, each of which is a number.
struct Adder {
    run: u64,
    sum: u64,
    total: Arc<Total>,
}

#[derive(Default)]
struct Total {
    run: AtomicU64,
    sum: AtomicU64,
}

impl Worker for Adder {
    type Job = u64;

    fn run(&mut self, job: &mut u64, _: u32) -> JobStep {
        self.run += 1;
        self.sum += *job;
        JobStep::Done
    }

    fn panicked(&mut self, _: &mut u64, _: u32, message: &str) -> JobStep {
        unreachable!("{message}")
    }

    fn pause(&mut self) {
        self.total.sum.fetch_add(std::mem::take(&mut self.sum), Ordering::Relaxed);
        self.total.run.fetch_add(std::mem::take(&mut self.run), Ordering::Release);
    }
}

/// From the push of 256 jobs of 64 keys until all are done, with nothing to do in between: the lanes' own cost, with
/// the wake of a lane that may have gone to sleep.
fn lanes(c: &mut Criterion) {
    let mut group = c.benchmark_group("lanes");
    group.throughput(Throughput::Elements(BATCH));
    for lane_count in [1, 2] {
        let config = Config::default().lanes(NonZeroUsize::new(lane_count).expect("not zero"));
        let total = Arc::new(Total::default());
        let (handle, mut feeder) =
            Lanes::start(config, |_| Adder { run: 0, sum: 0, total: Arc::clone(&total) })
                .expect("lanes start");
        let mut pushed = 0;
        group.bench_function(format!("batches_of_256_on_{lane_count}"), |b| {
            b.iter(|| {
                feed(&mut feeder, pushed..pushed + BATCH);
                pushed += BATCH;
                wait_until_run(&total, pushed);
            });
        });
        drop(feeder);
        let drained = handle.drain(Instant::now() + Duration::from_secs(10));
        assert_eq!((drained.untouched.len(), drained.stuck), (0, 0));
        assert_eq!(total.run.load(Ordering::Acquire), pushed);
        let sum = u128::from(pushed) * u128::from(pushed.saturating_sub(1)) / 2;
        assert_eq!(u128::from(total.sum.load(Ordering::Relaxed)), sum);
    }
}

fn feed(feeder: &mut Feeder<u64>, jobs: std::ops::Range<u64>) {
    for job in jobs {
        feeder.push(Some(Key::from_hash(job % 64)), job).expect("there is room");
    }
    feeder.flush();
}

fn wait_until_run(total: &Total, jobs: u64) {
    let start = Instant::now();
    while total.run.load(Ordering::Acquire) < jobs {
        assert!(start.elapsed() < Duration::from_secs(10), "the lanes do not run");
        thread::yield_now();
    }
}
