//! Buses from files and the environment: what they say is what the server has.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use jetlane::{Config, Envelope, EventBus, OpenError, Retention, Storage, Strategy};
use jetlane_jetstream::{ConsumerConfig, Discard, StreamConfig};
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};

/// As the old system had it, with its keys and in its shape.
const OLD: &str = r#"
# The event bus of the order service.
eventbus:
  type: nats          # or kafka
  nats:
    urls:
      - "URL"
    jetstream:
      enabled: true
      publish_timeout: 7s
      consumer:
        durable_name: order-service
        max_ack_pending: 700    # was 500
        max_waiting: 300
        ack_wait: 45s
        fetch_batch: 500
        max_wait: 100ms
      stream:
        name: BUSINESS
        max_bytes: 1073741824   # 1 GiB
        max_msgs: 250000

server:
  port: 8080
"#;

fn file(folder: &Path, yaml: &str, server: &Server) -> std::path::PathBuf {
    let path = folder.join("config.yaml");
    std::fs::write(&path, yaml.replace("URL", &server.url())).unwrap();
    path
}

fn from_yaml(yaml: &str, server: &Server) -> EventBus {
    let yaml = yaml.replace("URL", &server.url());
    EventBus::from_config(&Config::from_yaml(&yaml).unwrap()).unwrap()
}

fn stream(bus: &EventBus, name: &str) -> StreamConfig {
    bus.jetstream().stream_info(name).wait().unwrap().config
}

fn consumer(bus: &EventBus, stream: &str, name: &str) -> ConsumerConfig {
    bus.jetstream().consumer_info(stream, name).wait().unwrap().config
}

#[test]
fn a_file_of_the_old_system_is_understood() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bus = EventBus::from_file(file(folder.path(), OLD, &server)).unwrap();
    assert_eq!(bus.jetstream().options().publish_timeout, Duration::from_secs(7));
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let config = stream(&bus, "BUSINESS");
    assert_eq!(config.subjects, ["order.>"]);
    assert_eq!((config.max_bytes, config.max_msgs), (Some(1 << 30), Some(250_000)));
    // What the old system had as its one consumer goes on here.
    let (send, orders) = mpsc::channel();
    let handler = move |event: &Envelope| send.send(event.aggregate_id().to_string());
    let subscription = bus.subscribe("unified").on("order.>", handler).start().unwrap();
    assert_eq!(subscription.name(), "order-service-unified");
    let config = consumer(&bus, "BUSINESS", "order-service-unified");
    assert_eq!((config.max_ack_pending, config.max_waiting), (Some(700), 300));
    assert_eq!(config.ack_wait, Duration::from_secs(45));
    let event = Envelope::new("order-1", "OrderCreated", "{}");
    bus.publish("order.created", event).unwrap().wait().unwrap();
    assert_eq!(orders.recv_timeout(DEADLINE).unwrap(), "order-1");
    bus.close(DEADLINE).unwrap();
}

#[test]
fn the_environment_alone_is_enough() {
    let server = Server::start().unwrap();
    let variables = [
        ("JETLANE_EVENTBUS_NATS_URLS", &*server.url()),
        ("JETLANE_EVENTBUS_NATS_JETSTREAM_ASYNC_MAX_PENDING", "77"),
        ("JETLANE_EVENTBUS_NATS_JETSTREAM_STREAM_STORAGE", "memory"),
        ("JETLANE_EVENTBUS_NATS_JETSTREAM_STREAM_RETENTION", "interest"),
        ("JETLANE_EVENTBUS_NATS_JETSTREAM_STREAM_DISCARD", "new"),
        ("JETLANE_EVENTBUS_NATS_JETSTREAM_STREAM_RETAIN", "1h"),
        ("JETLANE_EVENTBUS_NATS_JETSTREAM_STREAM_DUPLICATE_WINDOW", "30s"),
        ("JETLANE_EVENTBUS_PUBLISHER_RATE", "5000"),
        ("JETLANE_EVENTBUS_PUBLISHER_BURST", "7"),
        ("JETLANE_EVENTBUS_PUBLISHER_MOST", "33"),
        ("JETLANE_EVENTBUS_PUBLISHER_PATIENCE", "9s"),
        ("JETLANE_EVENTBUS_PUBLISHER_ORDER", "wait"),
    ];
    let variables = variables.map(|(name, text)| (name.to_string(), text.to_string()));
    let config = Config::default().with_env_vars(variables).unwrap();
    let bus = EventBus::from_config(&config).unwrap();
    assert_eq!(bus.client().limits().pending_acks, 77);
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    let config = stream(&bus, "order_ALL");
    assert_eq!(config.storage, Storage::Memory);
    assert_eq!((config.retention, config.discard), (Retention::Interest, Discard::New));
    let secs = Duration::from_secs;
    assert_eq!((config.max_age, config.duplicate_window), (secs(3600), secs(30)));
    assert_eq!(
        format!("{:?}", bus.publisher::<()>()),
        "PublisherBuilder { form: Header, order: Wait, rate: Some(Rate { per_second: 5000, burst: 7 }), most: 33, patience: 9s, .. }"
    );
}

#[test]
fn profiles_reach_the_server() {
    for (profile, pending, waiting, wait, bytes, msgs) in [
        ("production", 1000, 512, 30, Some(1_000_000_000), Some(1_000_000)),
        ("high-throughput", 10_000, 1000, 30, Some(2_000_000_000), Some(2_000_000)),
        ("low-latency", 500, 256, 10, None, None),
    ] {
        let server = Server::start().unwrap();
        let yaml = format!("eventbus: {{profile: {profile}, nats: {{urls: 'URL'}}}}");
        let bus = from_yaml(&yaml, &server);
        bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
        bus.subscribe("billing").on("order.>", |_: &Envelope| {}).start().unwrap();
        let config = stream(&bus, "order_ALL");
        assert_eq!((config.max_bytes, config.max_msgs), (bytes, msgs), "{profile}");
        let config = consumer(&bus, "order_ALL", "billing");
        assert_eq!((config.max_ack_pending, config.max_waiting), (Some(pending), waiting));
        assert_eq!(config.ack_wait, Duration::from_secs(wait), "{profile}");
        bus.close(DEADLINE).unwrap();
    }
}

#[test]
fn what_the_program_says_wins() {
    let server = Server::start().unwrap();
    let bus = from_yaml(OLD, &server);
    let topic = bus.topic("order.>").stream("ORDERS").max_events(5).storage(Storage::Memory);
    topic.ensure(Strategy::CreateOnly).unwrap();
    let config = stream(&bus, "ORDERS");
    assert_eq!((config.max_msgs, config.max_bytes), (Some(5), Some(1 << 30)));
    let subscribe = bus.subscribe("billing").ack_wait(Duration::from_secs(3)).max_ack_pending(9);
    subscribe.on("order.>", |_: &Envelope| {}).start().unwrap();
    let config = consumer(&bus, "ORDERS", "order-service-billing");
    assert_eq!((config.ack_wait, config.max_ack_pending), (Duration::from_secs(3), Some(9)));
}

#[test]
fn a_consumer_that_is_there_takes_new_numbers_but_those_that_can_not_change() {
    let server = Server::start().unwrap();
    for (profile, pending) in [("low-latency", 500), ("high-throughput", 10_000)] {
        let bus =
            from_yaml(&format!("eventbus: {{profile: {profile}, nats: {{urls: 'URL'}}}}"), &server);
        bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
        bus.subscribe("billing").on("order.>", |_: &Envelope| {}).start().unwrap();
        let config = consumer(&bus, "order_ALL", "billing");
        assert_eq!((config.max_ack_pending, config.max_waiting), (Some(pending), 256));
        bus.close(DEADLINE).unwrap();
    }
}

#[test]
fn no_more_is_held_than_was_said() {
    let server = Server::start().unwrap();
    let yaml = "eventbus: {nats: {urls: 'URL', jetstream: {consumer: {fetch_batch: 5}}}}";
    let bus = from_yaml(yaml, &server);
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    for order in 0..50 {
        let event = Envelope::new(format!("order-{order}"), "OrderCreated", "{}");
        bus.publish("order.created", event).unwrap().wait().unwrap();
    }
    let (release, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let handler = move |_: &Envelope| {
        // Ends when the test lets go of its end.
        let _ = gate.lock().unwrap().recv();
    };
    bus.subscribe("billing").on("order.>", handler).start().unwrap();
    let pending = || {
        let info = bus.jetstream().consumer_info("order_ALL", "billing").wait().unwrap();
        info.num_ack_pending
    };
    eventually("five are held", || (pending() == 5).then_some(()));
    bus.client().flush().wait().unwrap();
    assert_eq!(pending(), 5);
    drop(release);
    eventually("all are handled", || {
        let info = bus.jetstream().consumer_info("order_ALL", "billing").wait().unwrap();
        (info.ack_floor.stream_seq == 50).then_some(())
    });
    bus.close(DEADLINE).unwrap();
}

#[test]
fn topics_are_ensured_and_may_share_a_stream() {
    let server = Server::start().unwrap();
    let yaml = "
eventbus:
  nats:
    urls: URL
    jetstream: {stream: {storage: memory}}
  topics:
    - {name: order.>, stream: SALES, max_msgs: 10, max_bytes: 1MiB, retain: 1h, atomic: true}
    - {name: payment.*, stream: SALES}
    - {name: audit.log, storage: file, discard: new, replicas: 1, duplicate_window: 10s, retention: workqueue, max_msgs: unlimited}
";
    let bus = from_yaml(yaml, &server);
    let config = stream(&bus, "SALES");
    assert_eq!(config.subjects, ["order.>", "payment.*"]);
    assert_eq!((config.max_msgs, config.max_bytes), (Some(10), Some(1 << 20)));
    assert_eq!((config.max_age, config.storage), (Duration::from_secs(3600), Storage::Memory));
    assert!(config.allow_atomic);
    let config = stream(&bus, "audit_log");
    assert_eq!((config.storage, config.discard), (Storage::File, Discard::New));
    assert_eq!((config.retention, config.max_msgs), (Retention::WorkQueue, None));
    assert_eq!(config.duplicate_window, Duration::from_secs(10));
    assert!(!config.allow_atomic);
    bus.publish("payment.done", Envelope::new("p", "Paid", "{}")).unwrap().wait().unwrap();
    bus.close(DEADLINE).unwrap();
    // The next one finds them there.
    from_yaml(yaml, &server).close(DEADLINE).unwrap();
}

#[test]
fn topics_are_persistent_or_core_as_they_say() {
    let server = Server::start().unwrap();
    let yaml = "
eventbus:
  nats:
    urls: URL
    jetstream: {stream: {name: ALL}}
  topics:
    - {name: tick.>, persistence_mode: core}
    - {name: order.>}
    - {name: audit.>, persistence_mode: persistent}
";
    let bus = from_yaml(yaml, &server);
    assert_eq!(stream(&bus, "ALL").subjects, ["order.>", "audit.>"]);
    let event = Envelope::new("a", "Tested", "{}");
    bus.publish_core("tick.eu", &event).unwrap();
    bus.publish("tick.eu", &event).unwrap_err();
    bus.publish("audit.x", &event).unwrap().wait().unwrap();
    // Where somebody stores it, there is no such bus.
    bus.jetstream().create_stream(&StreamConfig::new("TICKS").subject("tick.*")).wait().unwrap();
    let config = Config::from_yaml(&yaml.replace("URL", &server.url())).unwrap();
    let error = EventBus::from_config(&config).unwrap_err();
    assert!(error.to_string().contains("the stream \"TICKS\" stores events of \"tick.>\""));
}

#[test]
fn topics_are_ensured_as_the_strategy_says() {
    let server = Server::start().unwrap();
    let open = |strategy: &str, most: u32| {
        let yaml = format!(
            "eventbus: {{nats: {{urls: '{}', jetstream: {{strategy: {strategy}}}}}, topics: [{{name: order.>, max_msgs: {most}}}]}}",
            server.url()
        );
        EventBus::from_config(&Config::from_yaml(&yaml).unwrap())
    };
    let error = open("validate-only", 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the topic \"order.>\" of the config: the stream \"order_ALL\" does not exist, and ValidateOnly creates none"
    );
    assert!(matches!(error, OpenError::Topic { .. }));
    let most = |bus: &EventBus| stream(bus, "order_ALL").max_msgs;
    open("skip", 5).unwrap().jetstream().stream_info("order_ALL").wait().unwrap_err();
    assert_eq!(most(&open("create-only", 5).unwrap()), Some(5));
    assert_eq!(most(&open("create-only", 6).unwrap()), Some(5));
    open("validate-only", 6).unwrap_err();
    assert_eq!(most(&open("create-or-update", 6).unwrap()), Some(6));
    open("validate-only", 6).unwrap();
}

#[test]
fn credentials_are_shown_to_the_server() {
    let config = "authorization { user: teller, password: \"0042\" }";
    let server = Server::builder().config(config).start().unwrap();
    let open = |who: &str| {
        let yaml = format!("eventbus: {{nats: {{urls: '{}', name: till, {who}}}}}", server.url());
        EventBus::from_config(&Config::from_yaml(&yaml).unwrap())
    };
    // Not quoted, and no number all the same.
    open("user: teller, password: 0042").unwrap();
    let refused = open("user: teller, password: hunter2").unwrap_err();
    assert!(matches!(refused, OpenError::Connect(_)), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    open("token: '0042'").unwrap_err();
    let yaml = format!("eventbus: {{nats: {{urls: 'teller:0042@127.0.0.1:{}'}}}}", server.port());
    EventBus::from_config(&Config::from_yaml(&yaml).unwrap()).unwrap();
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let server = Server::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (from, to, expected) in [
        (
            "type: nats ",
            "type: kafka ",
            "line 4: `eventbus.type` must be nats: Kafka is not supported",
        ),
        (
            "max_ack_pending",
            "max_ack_pendng",
            "line 13: unknown key `eventbus.nats.jetstream.consumer.max_ack_pendng`: did you mean `max_ack_pending`?",
        ),
        (
            "enabled: true",
            "enabled: false",
            "line 9: `eventbus.nats.jetstream.enabled` must be true: it is for each topic to say that its events are stored nowhere, by `persistence_mode: core`",
        ),
    ] {
        let path = file(folder.path(), &OLD.replace(from, to), &server);
        let error = EventBus::from_file(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("{}, {expected}", path.display()));
    }
}

/// What the consumer has delivered and nobody has settled.
fn unsettled(bus: &EventBus) -> u64 {
    bus.jetstream().consumer_info("order_ALL", "billing").wait().unwrap().num_ack_pending
}

fn publish_orders(bus: &EventBus, count: u32) {
    let tickets = (0..count).map(|order| {
        let event = Envelope::new(format!("order-{order}"), "OrderCreated", "{}");
        bus.publish("order.created", event).unwrap()
    });
    for ticket in tickets.collect::<Vec<_>>() {
        ticket.wait().unwrap();
    }
}

#[test]
fn a_fast_handler_has_events_up_to_the_window() {
    let server = Server::start().unwrap();
    let bus = from_yaml("eventbus: {nats: {urls: 'URL'}}", &server);
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    publish_orders(&bus, 8000);
    let (release, gate) = mpsc::channel::<()>();
    let (gate, left) = (std::sync::Mutex::new(gate), std::sync::atomic::AtomicI32::new(5000));
    let handler = move |_: &Envelope| {
        // Fast at first, and then not at all: what has been requested by then stays to be counted.
        if left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) <= 0 {
            let _ = gate.lock().unwrap().recv();
        }
    };
    bus.subscribe("billing").on("order.>", handler).start().unwrap();
    // No more than the window; how much of it was asked for again when they stopped is a matter of chance, but half it is at least.
    let mut most = 0;
    eventually("a window is held", || {
        most = most.max(unsettled(&bus));
        (most >= 500).then_some(())
    });
    assert!(most <= 1000, "{most}");
    drop(release);
    bus.close(DEADLINE).unwrap();
}

#[test]
fn a_slow_handler_has_few_events() {
    let server = Server::start().unwrap();
    let bus = from_yaml("eventbus: {nats: {urls: 'URL'}}", &server);
    bus.topic("order.>").ensure(Strategy::CreateOnly).unwrap();
    publish_orders(&bus, 2000);
    let (told, handled) = mpsc::channel();
    let handler = move |_: &Envelope| {
        // Twenty milliseconds of work.
        std::thread::park_timeout(Duration::from_millis(20));
        told.send(())
    };
    // On one lane fifty in a second: about as many as that are settled in a quarter of the ack wait.
    let one = std::num::NonZeroUsize::MIN;
    let subscribe = bus.subscribe("billing").lanes(one).ack_wait(Duration::from_secs(4));
    subscribe.window(5..=1000).on("order.>", handler).start().unwrap();
    let mut most = 0;
    for at in 0..200 {
        handled.recv_timeout(DEADLINE).unwrap();
        if at % 10 == 0 {
            most = most.max(unsettled(&bus));
        }
    }
    assert!((10..=100).contains(&most), "{most}");
    bus.close(Duration::from_secs(20)).unwrap();
}
