use std::time::Duration;

use jetlane_jetstream::{Discard, Retention, Storage};

use super::*;
use crate::config::{Limit, Profile, Secret};
use crate::{KeyOrder, Strategy};

const EXAMPLE: &str = include_str!("../../../../docs/config.example.yaml");
const TABLE: &str = include_str!("keys.md");

fn variables(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = variables.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    Config::default().with_env_vars(owned)
}

fn error(yaml: &str) -> String {
    Config::from_yaml(yaml).map_or_else(|error| error.to_string(), |config| format!("{config:?}"))
}

#[test]
fn the_example_has_every_key_and_can_be_read() {
    let config = Config::from_yaml(EXAMPLE).unwrap();
    assert_eq!(config.topics.len(), 2);
    assert_eq!(config.topics[0].atomic, Some(true));
    let said = read(EXAMPLE, shape).unwrap();
    let is_said = |path: &str| said.iter().any(|said| said.path == path);
    // Of the ways to say who we are only one can be said.
    let others = ["eventbus.nats.token", "eventbus.nats.creds_file", "eventbus.nats.nkey_seed"];
    for key in KEYS {
        if others.contains(&key.path) {
            let (_, name) = key.path.rsplit_once('.').unwrap();
            assert!(EXAMPLE.contains(&format!("    # {name}: ")), "{}", key.path);
        } else {
            assert!(is_said(key.path), "{}", key.path);
        }
    }
    for key in TOPIC_KEYS {
        assert!(is_said(&format!("{TOPICS}[0].{}", key.path)), "{}", key.path);
    }
}

#[test]
fn the_table_has_every_key_and_its_variable() {
    let mut rows = 0;
    for key in KEYS {
        let row = format!("| `{}` | `{}` |", key.path, variable_of(key.path));
        assert!(TABLE.contains(&row), "{row}");
        rows += 1;
    }
    for key in TOPIC_KEYS {
        assert!(TABLE.contains(&format!("`{}`", key.path)), "{}", key.path);
    }
    assert_eq!(TABLE.matches("| `JETLANE_").count(), rows);
}

#[test]
fn no_two_keys_have_one_variable() {
    let mut variables: Vec<_> = KEYS.iter().map(|key| variable_of(key.path)).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), KEYS.len());
}

#[test]
fn every_value_goes_where_it_belongs() {
    let mut expected = Config { profile: Some(Profile::HighThroughput), ..Config::default() };
    let secs = |secs| Some(Duration::from_secs(secs));
    expected.connection.urls = Some(Secret::new("nats://a:1,tls://b:2"));
    expected.connection.name = Some("n".into());
    expected.connection.user = Some("u".into());
    expected.connection.password = Some(Secret::new("0042"));
    expected.connection.inbox_prefix = Some("_I".into());
    expected.connection.connect_timeout = secs(1);
    expected.connection.ping_interval = secs(2);
    expected.connection.max_pings_out = Some(3);
    expected.connection.retry_on_failed_connect = Some(true);
    expected.connection.tls.enabled = Some(false);
    expected.connection.tls.ca_file = Some("ca".into());
    expected.connection.tls.cert_file = Some("cert".into());
    expected.connection.tls.key_file = Some("key".into());
    expected.connection.tls.server_name = Some("host".into());
    expected.connection.tls.handshake_first = Some(true);
    expected.publish_timeout = secs(4);
    expected.async_max_pending = Some(5);
    expected.strategy = Some(Strategy::ValidateOnly);
    expected.consumer.durable_name = Some("d".into());
    expected.consumer.max_ack_pending = Some(6);
    expected.consumer.max_waiting = Some(7);
    expected.consumer.ack_wait = secs(8);
    expected.consumer.fetch_batch = Some(9);
    expected.consumer.fetch_batch_least = Some(2);
    expected.consumer.max_wait = secs(10);
    expected.stream.name = Some("S".into());
    expected.stream.max_bytes = Some(Limit::Most(11));
    expected.stream.max_msgs = Some(Limit::Unlimited);
    expected.stream.retain = secs(12);
    expected.stream.retention = Some(Retention::WorkQueue);
    expected.stream.replicas = Some(3);
    expected.stream.storage = Some(Storage::Memory);
    expected.stream.discard = Some(Discard::New);
    expected.stream.duplicate_window = secs(13);
    expected.publisher.rate = Some(14);
    expected.publisher.burst = Some(15);
    expected.publisher.most = Some(16);
    expected.publisher.patience = secs(17);
    expected.publisher.order = Some(KeyOrder::Fail);
    let values = [
        ("TYPE", "nats"),
        ("PROFILE", "high-throughput"),
        ("NATS_URLS", "nats://a:1,tls://b:2"),
        ("NATS_NAME", "n"),
        ("NATS_USER", "u"),
        ("NATS_PASSWORD", "0042"),
        ("NATS_INBOX_PREFIX", "_I"),
        ("NATS_CONNECT_TIMEOUT", "1s"),
        ("NATS_PING_INTERVAL", "2s"),
        ("NATS_MAX_PINGS_OUT", "3"),
        ("NATS_RETRY_ON_FAILED_CONNECT", "true"),
        ("NATS_TLS_ENABLED", "false"),
        ("NATS_TLS_CA_FILE", "ca"),
        ("NATS_TLS_CERT_FILE", "cert"),
        ("NATS_TLS_KEY_FILE", "key"),
        ("NATS_TLS_SERVER_NAME", "host"),
        ("NATS_TLS_HANDSHAKE_FIRST", "true"),
        ("NATS_JETSTREAM_ENABLED", "true"),
        ("NATS_JETSTREAM_PUBLISH_TIMEOUT", "4s"),
        ("NATS_JETSTREAM_ASYNC_MAX_PENDING", "5"),
        ("NATS_JETSTREAM_STRATEGY", "validate-only"),
        ("NATS_JETSTREAM_CONSUMER_DURABLE_NAME", "d"),
        ("NATS_JETSTREAM_CONSUMER_MAX_ACK_PENDING", "6"),
        ("NATS_JETSTREAM_CONSUMER_MAX_WAITING", "7"),
        ("NATS_JETSTREAM_CONSUMER_ACK_WAIT", "8s"),
        ("NATS_JETSTREAM_CONSUMER_FETCH_BATCH", "9"),
        ("NATS_JETSTREAM_CONSUMER_FETCH_BATCH_LEAST", "2"),
        ("NATS_JETSTREAM_CONSUMER_MAX_WAIT", "10s"),
        ("NATS_JETSTREAM_STREAM_NAME", "S"),
        ("NATS_JETSTREAM_STREAM_MAX_BYTES", "11"),
        ("NATS_JETSTREAM_STREAM_MAX_MSGS", "unlimited"),
        ("NATS_JETSTREAM_STREAM_RETAIN", "12s"),
        ("NATS_JETSTREAM_STREAM_RETENTION", "workqueue"),
        ("NATS_JETSTREAM_STREAM_REPLICAS", "3"),
        ("NATS_JETSTREAM_STREAM_STORAGE", "memory"),
        ("NATS_JETSTREAM_STREAM_DISCARD", "new"),
        ("NATS_JETSTREAM_STREAM_DUPLICATE_WINDOW", "13s"),
        ("PUBLISHER_RATE", "14"),
        ("PUBLISHER_BURST", "15"),
        ("PUBLISHER_MOST", "16"),
        ("PUBLISHER_PATIENCE", "17s"),
        ("PUBLISHER_ORDER", "fail"),
    ];
    let values: Vec<_> =
        values.iter().map(|(k, v)| (format!("{PREFIX}{k}"), v.to_string())).collect();
    assert_eq!(Config::default().with_env_vars(values.clone()).unwrap(), expected);
    // The same as a file: the three ways to say who we are that are left out here can not be said with a user.
    let dotted =
        |variable: &str| KEYS.iter().find(|key| variable_of(key.path) == variable).unwrap().path;
    let mut config = Config::default();
    for (variable, text) in &values {
        config.set(dotted(variable), text).unwrap();
    }
    assert_eq!(config, expected);
    assert_eq!(values.len() + 3, KEYS.len());
}

#[test]
fn ways_to_say_who_we_are() {
    for (variable, is_set) in [
        ("NATS_TOKEN", (|c| c.connection.token.is_some()) as fn(&Config) -> bool),
        ("NATS_CREDS_FILE", |c| c.connection.creds_file.is_some()),
        ("NATS_NKEY_SEED", |c| c.connection.nkey_seed.is_some()),
    ] {
        let config = variables(&[(&format!("{PREFIX}{variable}"), "s3cret")]).unwrap();
        assert!(is_set(&config), "{variable}");
    }
}

#[test]
fn the_environment_goes_over_the_file() {
    let yaml = "eventbus: {nats: {name: file, jetstream: {consumer: {ack_wait: 1s}}}}";
    let config = Config::from_yaml(yaml).unwrap();
    let vars = [
        ("JETLANE_EVENTBUS_NATS_NAME", "environment"),
        // These say nothing, or not to us.
        ("JETLANE_EVENTBUS_NATS_TOKEN", ""),
        ("JETLANE_CACHE", "/tmp"),
        ("PATH", "/bin"),
    ];
    let owned = vars.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    let config = config.with_env_vars(owned).unwrap();
    assert_eq!(config.connection.name.as_deref(), Some("environment"));
    assert_eq!(config.consumer.ack_wait, Some(Duration::from_secs(1)));
}

#[test]
fn a_wrong_text_says_what_is_wrong_and_where() {
    let consumer = "eventbus:\n  nats:\n    jetstream:\n      consumer:\n        ";
    for (yaml, expected) in [
        (
            format!("{consumer}max_ack_pendng: 5"),
            "line 5: unknown key `eventbus.nats.jetstream.consumer.max_ack_pendng`: did you mean `max_ack_pending`?",
        ),
        (
            "eventbus: {kafka: {brokers: x}}".into(),
            "line 1: unknown key `eventbus.kafka`: did you mean `nats`?",
        ),
        (
            "eventbus: {topics: [{name: a}, {nam: b}]}".into(),
            "line 1: unknown key `eventbus.topics[1].nam`: did you mean `name`?",
        ),
        (
            "eventbus: {type: kafka}".into(),
            "line 1: `eventbus.type` must be nats: Kafka is not supported",
        ),
        (
            "eventbus: {type: redis}".into(),
            "line 1: `eventbus.type` must be nats: no other system is supported",
        ),
        (
            "eventbus: {nats: {jetstream: {enabled: false}}}".into(),
            "line 1: `eventbus.nats.jetstream.enabled` must be true: it is for each topic to say that its events are stored nowhere, by `persistence_mode: core`",
        ),
        (
            format!("{consumer}ack_wait: 30"),
            "line 5: `eventbus.nats.jetstream.consumer.ack_wait` is no duration: write a number with its unit, as 30s, 500ms, 1h or 1m30s",
        ),
        (
            format!("{consumer}max_ack_pending: 0"),
            "line 5: `eventbus.nats.jetstream.consumer.max_ack_pending` must be a whole number from 1 to 1000000",
        ),
        (
            "eventbus: {profile: fast}".into(),
            "line 1: `eventbus.profile` must be one of production, high-throughput, low-latency",
        ),
        (
            "eventbus: {nats: {urls: 'http://x'}}".into(),
            "line 1: `eventbus.nats.urls` is no list of servers: the scheme \"http\" is not supported: use nats:// or tls://",
        ),
        (
            "eventbus: {nats: {urls: []}}".into(),
            "line 1: `eventbus.nats.urls` names no server: write nats://host:port",
        ),
        (
            "eventbus: {nats: {token: s3cret, user: me, password: s3cret}}".into(),
            "`eventbus.nats.token` can not be said with `user`",
        ),
        (
            "eventbus: {nats: {user: me}}".into(),
            "`eventbus.nats.user` needs a `password`, and that one a `user`",
        ),
        (
            "eventbus: {nats: {tls: {cert_file: x}}}".into(),
            "`eventbus.nats.tls.cert_file` needs a `key_file`, and that one it",
        ),
        ("eventbus: {publisher: {burst: 1}}".into(), "`eventbus.publisher.burst` needs a `rate`"),
        ("eventbus: {topics: [{retain: 1h}]}".into(), "`eventbus.topics[0]` has no `name`"),
        (
            "eventbus: {topics: [{name: a, persistence_mode: core, retain: 1h}]}".into(),
            "`eventbus.topics[0]` is core, and so has no stream that anything could be said of",
        ),
        (
            "eventbus: {topics: [{name: a, atomic: true, persistence_mode: core}]}".into(),
            "`eventbus.topics[0]` is core, and so has no stream that anything could be said of",
        ),
        (
            "eventbus: {topics: [{name: a, persistence_mode: x}]}".into(),
            "line 1: `eventbus.topics[0].persistence_mode` must be one of persistent, core",
        ),
        (
            "eventbus: {topics: [{name: 'a b'}]}".into(),
            "line 1: `eventbus.topics[0].name` is no subject: ",
        ),
        (
            "eventbus: {nats: s3cret}".into(),
            "line 1: this can not be read, at or behind `eventbus.nats`: there is a value where keys are expected",
        ),
        ("eventbus:\n  nats: [\n".into(), "line "),
        ("[s3cret]".into(), "this can not be read, at or behind the beginning: "),
        ("event_bus: {}".into(), "line 1: unknown key `event_bus`: did you mean `eventbus`?"),
        ("EventBus: {}".into(), "line 1: unknown key `EventBus`: did you mean `eventbus`?"),
    ] {
        let told = error(&yaml);
        assert!(told.starts_with(expected), "{yaml}\n{told}\n{expected}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn a_wrong_variable_says_which() {
    for (variable, text, expected) in [
        (
            "JETLANE_EVENTBUS_NATS_URL",
            "s3cret",
            "the variable JETLANE_EVENTBUS_NATS_URL: unknown key `JETLANE_EVENTBUS_NATS_URL`: did you mean `JETLANE_EVENTBUS_NATS_URLS`?",
        ),
        (
            "JETLANE_EVENTBUS_NATS_PING_INTERVAL",
            "s3cret",
            "the variable JETLANE_EVENTBUS_NATS_PING_INTERVAL: `eventbus.nats.ping_interval` is no duration: write a number with its unit, as 30s, 500ms, 1h or 1m30s",
        ),
    ] {
        assert_eq!(variables(&[(variable, text)]).unwrap_err().to_string(), expected);
    }
}

#[test]
fn files_are_named_and_those_that_are_not_there_too() {
    let gone = Config::from_file("/nowhere/config.yaml").unwrap_err().to_string();
    assert!(gone.starts_with("the config /nowhere/config.yaml can not be read: "), "{gone}");
    let place = Place { file: Some("c.yaml".into()), line: Some(3), ..Place::default() };
    assert_eq!(place.to_string(), "c.yaml, line 3: ");
    assert_eq!(Place { line: None, ..place }.to_string(), "c.yaml: ");
}

#[test]
fn secrets_are_not_shown() {
    let yaml = "eventbus: {nats: {urls: 'nats://me:s3cret@host', user: me, password: s3cret}}";
    let shown = format!("{:?}", Config::from_yaml(yaml).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    let yaml = "eventbus: {nats: {token: s3cret}}";
    let shown = format!("{:?}", Config::from_yaml(yaml).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    let yaml = "eventbus: {nats: {nkey_seed: s3cret}}";
    let shown = format!("{:?}", Config::from_yaml(yaml).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn what_stands_beside_the_bus_is_not_read() {
    let yaml = "database: {url: x}\neventbus:\n  nats: {name: n}\nlog: debug\n";
    let config = Config::from_yaml(yaml).unwrap();
    assert_eq!(config.connection.name.as_deref(), Some("n"));
    for yaml in ["", "# nothing\n", "eventbus:\n", "database: {url: x}\n"] {
        assert_eq!(Config::from_yaml(yaml).unwrap(), Config::default(), "{yaml}");
    }
}
