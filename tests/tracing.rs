//! What those who collect traces see: what happens to connections, a span around every handler, and no secrets.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use jetlane::{Envelope, EventBus, RawEvent, Strategy, TraceParent};
use jetlane_client::Client;
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Collects events and spans as lines.
struct Lines(Arc<Mutex<Vec<String>>>);

/// The lines of the whole process: it is threads of the bus that tell.
fn lines() -> Arc<Mutex<Vec<String>>> {
    static LINES: OnceLock<Arc<Mutex<Vec<String>>>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        tracing::subscriber::set_global_default(Lines(Arc::clone(&lines))).unwrap();
        lines
    });
    Arc::clone(lines)
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "jetlane"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        let mut line = Line(format!("span {id} {}", span.metadata().name()));
        span.record(&mut line);
        self.0.lock().unwrap().push(line.0);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, fields: &Record<'_>) {
        let mut line = Line(format!("record {}", span.into_u64()));
        fields.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().push(format!("enter {}", span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.0.lock().unwrap().push(format!("exit {}", span.into_u64()));
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

#[test]
fn connections_can_be_traced() {
    let lines = lines();
    let config = "authorization { user: teller, password: hunter2 }";
    let mut server = Server::builder().without_jetstream().config(config).start().unwrap();
    let port = server.port();
    let client = Client::connect(&format!("nats://teller:hunter2@127.0.0.1:{port}")).unwrap();
    let told = |line: String| {
        eventually(&line, || lines.lock().unwrap().contains(&line).then_some(()));
    };
    told(format!("INFO message=connected server=\"nats://127.0.0.1:{port}\""));
    server.kill();
    server.restart().unwrap();
    told(format!("INFO message=reconnected server=\"nats://127.0.0.1:{port}\""));
    client.close(DEADLINE).unwrap();
    let all = lines.lock().unwrap().join("\n");
    assert!(!all.contains("hunter2") && !all.contains("teller"), "{all}");
}

/// The lines of the one span that has this in its first: its own, and those of what happened in it.
fn of_span(lines: &[String], mark: &str) -> Option<Vec<String>> {
    let begin = lines.iter().find(|line| line.starts_with("span ") && line.contains(mark))?;
    let id = begin.split(' ').nth(1).unwrap();
    let is_of = |line: &&String| {
        line.split(' ').nth(1) == Some(id) || line.contains(&format!("handled={mark}"))
    };
    let lines: Vec<_> = lines.iter().filter(is_of).cloned().collect();
    let plain = |line: String| line.replace(&format!(" {id}"), "");
    lines
        .iter()
        .any(|line| line.starts_with("exit"))
        .then(|| lines.into_iter().map(plain).collect())
}

#[test]
fn every_handler_has_a_span_around_it() {
    let lines = lines();
    let server = Server::start().unwrap();
    let bus = EventBus::connect(&server.url()).unwrap();
    bus.topic("traced.>").ensure(Strategy::CreateOnly).unwrap();
    bus.subscribe("traces")
        .on("traced.event", |event: &Envelope| {
            let handled = event.event_id().unwrap();
            tracing::info!(target: "jetlane", handled, "inside");
        })
        .on_raw("traced.raw", |_: &RawEvent<'_>| {})
        .start()
        .unwrap();
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let event = |id: &str| Envelope::new("order-42", "Traced", "{}").with_event_id(id);
    let parent: TraceParent = text.parse().unwrap();
    bus.publish("traced.event", event("with-parent").with_trace_parent(parent))
        .unwrap()
        .wait()
        .unwrap();
    bus.publish("traced.event", event("without").with_trace_id("trace-7")).unwrap().wait().unwrap();
    bus.publish_raw("traced.raw", "x").unwrap().wait().unwrap();
    let seen = |mark: &str| eventually(mark, || of_span(&lines.lock().unwrap(), mark));
    let fields = |id: &str, sequence: u64| {
        format!(
            "span handle subscription=\"traces\" subject=\"traced.event\" event_id=\"{id}\" event_type=\"Traced\" aggregate_id=\"order-42\" sequence={sequence} delivered=1"
        )
    };
    let inside = |id: &str| format!("INFO message=inside handled=\"{id}\"");
    assert_eq!(
        seen("\"with-parent\""),
        [
            &*fields("with-parent", 1),
            "record trace_id=0af7651916cd43dd8448eb211c80319c",
            "record parent_id=b7ad6b7169203331",
            "enter",
            &inside("with-parent"),
            "exit",
        ]
    );
    assert_eq!(seen("\"without\""), [&*fields("without", 2), "enter", &inside("without"), "exit"]);
    assert_eq!(
        seen("\"traced.raw\""),
        [
            "span handle subscription=\"traces\" subject=\"traced.raw\" sequence=3 delivered=1",
            "enter",
            "exit",
        ]
    );
    bus.close(DEADLINE).unwrap();
}
