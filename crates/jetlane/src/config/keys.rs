//! All keys there are: each with its path, how it is written, and where its value goes.

use std::path::PathBuf;
use std::sync::LazyLock;

use jetlane_client::proto::check_name;
use jetlane_client::{ServerUrl, SubjectFilter};
use jetlane_jetstream::{Discard, Retention, Storage};
use strsim::osa_distance;

use super::read::Shape;
use super::value::{
    bytes, choice, count, duration, limit, number, positive_duration, switch, words,
};
use super::{Config, Persistence, Profile, Secret, TopicConfig};
use crate::{KeyOrder, Strategy};

/// What all keys stand below.
pub(super) const ROOT: &str = "eventbus";
/// The list of topics, whose items have keys of their own.
pub(super) const TOPICS: &str = "eventbus.topics";

/// A key with a value.
pub(super) struct Key<T> {
    pub(super) path: &'static str,
    pub(super) shape: Shape,
    pub(super) set: fn(&mut T, &str) -> Result<(), String>,
}

const fn key<T>(path: &'static str, set: fn(&mut T, &str) -> Result<(), String>) -> Key<T> {
    Key { path, shape: Shape::Text, set }
}

/// The keys of a config.
pub(super) const KEYS: &[Key<Config>] = &[
    key("eventbus.type", |_, text| bus_type(text)),
    key("eventbus.profile", |c, text| put(&mut c.profile, choice(text, PROFILES))),
    Key {
        path: "eventbus.nats.urls",
        shape: Shape::Texts,
        set: |c, text| put(&mut c.connection.urls, urls(text)),
    },
    key("eventbus.nats.name", |c, text| put(&mut c.connection.name, words(text))),
    key("eventbus.nats.user", |c, text| put(&mut c.connection.user, words(text))),
    key("eventbus.nats.password", |c, text| put(&mut c.connection.password, secret(text))),
    key("eventbus.nats.token", |c, text| put(&mut c.connection.token, secret(text))),
    key("eventbus.nats.creds_file", |c, text| put(&mut c.connection.creds_file, file(text))),
    key("eventbus.nats.nkey_seed", |c, text| put(&mut c.connection.nkey_seed, secret(text))),
    key("eventbus.nats.inbox_prefix", |c, text| put(&mut c.connection.inbox_prefix, words(text))),
    key("eventbus.nats.connect_timeout", |c, text| {
        put(&mut c.connection.connect_timeout, positive_duration(text))
    }),
    key("eventbus.nats.ping_interval", |c, text| {
        put(&mut c.connection.ping_interval, positive_duration(text))
    }),
    key("eventbus.nats.max_pings_out", |c, text| {
        put(&mut c.connection.max_pings_out, number(text, 1, 1000))
    }),
    key("eventbus.nats.retry_on_failed_connect", |c, text| {
        put(&mut c.connection.retry_on_failed_connect, switch(text))
    }),
    key("eventbus.nats.tls.enabled", |c, text| put(&mut c.connection.tls.enabled, switch(text))),
    key("eventbus.nats.tls.ca_file", |c, text| put(&mut c.connection.tls.ca_file, file(text))),
    key("eventbus.nats.tls.cert_file", |c, text| put(&mut c.connection.tls.cert_file, file(text))),
    key("eventbus.nats.tls.key_file", |c, text| put(&mut c.connection.tls.key_file, file(text))),
    key("eventbus.nats.tls.server_name", |c, text| {
        put(&mut c.connection.tls.server_name, words(text))
    }),
    key("eventbus.nats.tls.handshake_first", |c, text| {
        put(&mut c.connection.tls.handshake_first, switch(text))
    }),
    key("eventbus.nats.jetstream.enabled", |_, text| enabled(text)),
    key("eventbus.nats.jetstream.publish_timeout", |c, text| {
        put(&mut c.publish_timeout, positive_duration(text))
    }),
    key("eventbus.nats.jetstream.async_max_pending", |c, text| {
        put(&mut c.async_max_pending, number(text, 1, 1 << 19))
    }),
    key("eventbus.nats.jetstream.strategy", |c, text| {
        put(&mut c.strategy, choice(text, STRATEGIES))
    }),
    key("eventbus.nats.jetstream.consumer.durable_name", |c, text| {
        put(&mut c.consumer.durable_name, name(text))
    }),
    key("eventbus.nats.jetstream.consumer.max_ack_pending", |c, text| {
        put(&mut c.consumer.max_ack_pending, number(text, 1, 1_000_000))
    }),
    key("eventbus.nats.jetstream.consumer.max_waiting", |c, text| {
        put(&mut c.consumer.max_waiting, number(text, 1, 1_000_000))
    }),
    key("eventbus.nats.jetstream.consumer.ack_wait", |c, text| {
        put(&mut c.consumer.ack_wait, positive_duration(text))
    }),
    key("eventbus.nats.jetstream.consumer.fetch_batch", |c, text| {
        put(&mut c.consumer.fetch_batch, number(text, 1, 1_000_000))
    }),
    key("eventbus.nats.jetstream.consumer.fetch_batch_least", |c, text| {
        put(&mut c.consumer.fetch_batch_least, number(text, 1, 1_000_000))
    }),
    key("eventbus.nats.jetstream.consumer.max_wait", |c, text| {
        put(&mut c.consumer.max_wait, positive_duration(text))
    }),
    key("eventbus.nats.jetstream.stream.name", |c, text| put(&mut c.stream.name, name(text))),
    key("eventbus.nats.jetstream.stream.max_bytes", |c, text| {
        put(&mut c.stream.max_bytes, limit(text, bytes))
    }),
    key("eventbus.nats.jetstream.stream.max_msgs", |c, text| {
        put(&mut c.stream.max_msgs, limit(text, count))
    }),
    key("eventbus.nats.jetstream.stream.retain", |c, text| {
        put(&mut c.stream.retain, duration(text))
    }),
    key("eventbus.nats.jetstream.stream.retention", |c, text| {
        put(&mut c.stream.retention, choice(text, RETENTIONS))
    }),
    key("eventbus.nats.jetstream.stream.replicas", |c, text| {
        put(&mut c.stream.replicas, number(text, 1, 5))
    }),
    key("eventbus.nats.jetstream.stream.storage", |c, text| {
        put(&mut c.stream.storage, choice(text, STORAGES))
    }),
    key("eventbus.nats.jetstream.stream.discard", |c, text| {
        put(&mut c.stream.discard, choice(text, DISCARDS))
    }),
    key("eventbus.nats.jetstream.stream.duplicate_window", |c, text| {
        put(&mut c.stream.duplicate_window, positive_duration(text))
    }),
    key("eventbus.publisher.rate", |c, text| put(&mut c.publisher.rate, number(text, 1, u32::MAX))),
    key("eventbus.publisher.burst", |c, text| {
        put(&mut c.publisher.burst, number(text, 1, u32::MAX))
    }),
    key("eventbus.publisher.most", |c, text| {
        put(&mut c.publisher.most, number(text, 1, 10_000_000))
    }),
    key("eventbus.publisher.patience", |c, text| {
        put(&mut c.publisher.patience, positive_duration(text))
    }),
    key("eventbus.publisher.order", |c, text| put(&mut c.publisher.order, choice(text, ORDERS))),
];

/// The keys of an item of the list of topics.
pub(super) const TOPIC_KEYS: &[Key<TopicConfig>] = &[
    key("name", |t, text| {
        t.name = subject(text)?;
        Ok(())
    }),
    key("persistence_mode", |t, text| put(&mut t.persistence, choice(text, PERSISTENCES))),
    key("stream", |t, text| put(&mut t.stream.name, name(text))),
    key("max_bytes", |t, text| put(&mut t.stream.max_bytes, limit(text, bytes))),
    key("max_msgs", |t, text| put(&mut t.stream.max_msgs, limit(text, count))),
    key("retain", |t, text| put(&mut t.stream.retain, duration(text))),
    key("retention", |t, text| put(&mut t.stream.retention, choice(text, RETENTIONS))),
    key("replicas", |t, text| put(&mut t.stream.replicas, number(text, 1, 5))),
    key("storage", |t, text| put(&mut t.stream.storage, choice(text, STORAGES))),
    key("discard", |t, text| put(&mut t.stream.discard, choice(text, DISCARDS))),
    key("duplicate_window", |t, text| put(&mut t.stream.duplicate_window, positive_duration(text))),
    key("atomic", |t, text| put(&mut t.atomic, switch(text))),
];

const PERSISTENCES: &[(&str, Persistence)] =
    &[("persistent", Persistence::Persistent), ("core", Persistence::Core)];
const PROFILES: &[(&str, Profile)] = &[
    ("production", Profile::Production),
    ("high-throughput", Profile::HighThroughput),
    ("low-latency", Profile::LowLatency),
];
const STRATEGIES: &[(&str, Strategy)] = &[
    ("create-only", Strategy::CreateOnly),
    ("create-or-update", Strategy::CreateOrUpdate),
    ("validate-only", Strategy::ValidateOnly),
    ("skip", Strategy::Skip),
];
const RETENTIONS: &[(&str, Retention)] = &[
    ("limits", Retention::Limits),
    ("interest", Retention::Interest),
    ("workqueue", Retention::WorkQueue),
];
const STORAGES: &[(&str, Storage)] = &[("file", Storage::File), ("memory", Storage::Memory)];
const DISCARDS: &[(&str, Discard)] = &[("old", Discard::Old), ("new", Discard::New)];
const ORDERS: &[(&str, KeyOrder)] =
    &[("free", KeyOrder::Free), ("wait", KeyOrder::Wait), ("fail", KeyOrder::Fail)];

/// How the value of a key is written; `None` if there is no such key.
pub(super) fn shape(path: &str) -> Option<Shape> {
    if !path.contains('.') {
        // Beside the bus, a file may say what it likes. What is nearly our name is meant to be ours.
        return match osa_distance(&path.to_ascii_lowercase(), ROOT) {
            0 if path == ROOT => Some(Shape::Section),
            0..=2 => None,
            _ => Some(Shape::Foreign),
        };
    }
    if path == TOPICS {
        return Some(Shape::Sections);
    }
    if let Some((_, name)) = topic_key(path) {
        return TOPIC_KEYS.iter().find(|key| key.path == name).map(|key| key.shape);
    }
    if let Some(key) = KEYS.iter().find(|key| key.path == path) {
        return Some(key.shape);
    }
    PATHS.iter().any(|known| known == path).then_some(Shape::Section)
}

/// The paths of all keys and of what they stand below.
pub(super) static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut paths: Vec<String> = vec![TOPICS.into()];
    for key in KEYS {
        let dots = key.path.match_indices('.').map(|(at, _)| at);
        paths.extend(dots.chain([key.path.len()]).map(|end| key.path[..end].into()));
    }
    paths.sort();
    paths.dedup();
    paths
});

/// The place of a topic in the list, and its key: of `eventbus.topics[3].name`, 3 and `name`.
pub(super) fn topic_key(path: &str) -> Option<(usize, &str)> {
    let (at, name) = path.strip_prefix(TOPICS)?.strip_prefix('[')?.split_once("].")?;
    Some((at.parse().ok()?, name))
}

fn put<T>(place: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *place = Some(value?);
    Ok(())
}

fn bus_type(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "nats" => Ok(()),
        "kafka" => Err("must be nats: Kafka is not supported".into()),
        _ => Err("must be nats: no other system is supported".into()),
    }
}

fn enabled(text: &str) -> Result<(), String> {
    if switch(text)? {
        return Ok(());
    }
    Err("must be true: it is for each topic to say that its events are stored nowhere, by `persistence_mode: core`".into())
}

fn urls(text: &str) -> Result<Secret, String> {
    match ServerUrl::parse_list(text) {
        Ok(urls) if urls.is_empty() => Err("names no server: write nats://host:port".into()),
        Ok(_) => Ok(Secret::new(text)),
        // What stands there may be a part of credentials.
        Err((_, error)) => Err(format!("is no list of servers: {error}")),
    }
}

fn secret(text: &str) -> Result<Secret, String> {
    words(text).map(Secret::new)
}

fn file(text: &str) -> Result<PathBuf, String> {
    words(text).map(PathBuf::from)
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map_err(|error| format!("is no name: {error}"))?;
    Ok(text.into())
}

fn subject(text: &str) -> Result<String, String> {
    SubjectFilter::new(text).map_err(|error| format!("is no subject: {error}"))?;
    Ok(text.into())
}
