//! What those who collect traces see: what happens to connections, and no secrets.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use jetlane_client::Client;
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Collects events as lines.
struct Lines(Arc<Mutex<Vec<String>>>);

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

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

#[test]
fn connections_can_be_traced() {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    // For the whole process: it is the connection's own thread that tells.
    tracing::subscriber::set_global_default(Lines(Arc::clone(&lines))).unwrap();
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
