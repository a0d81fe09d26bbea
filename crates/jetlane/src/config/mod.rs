//! A bus from a file or the environment: what the keys are, how they are read, and what becomes of them.

mod apply;
mod error;
mod keys;
mod nearest;
mod profile;
mod read;
mod secret;
mod source;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use jetlane_jetstream::{Discard, Retention, Storage};

use crate::{KeyOrder, Strategy};

pub use error::{ConfigError, OpenError, Place};
pub use profile::Profile;
pub use secret::Secret;

/// How a bus is set up, as a YAML file, the environment, or both say it. What is not said is `None`, and left to the profile, and then
/// to the defaults of [`crate::ConnectOptions`], [`crate::Topic`], [`crate::Subscribe`] and [`crate::PublisherBuilder`]; what the program
/// says to those wins over all of it.
///
/// ```
/// use jetlane::{Config, EventBus};
/// # let server = jetlane_testkit::Server::start()?;
/// # let yaml = &format!("eventbus: {{type: nats, nats: {{urls: '{}'}}}}", server.url());
///
/// let config = Config::from_yaml(yaml)?;
/// let bus = EventBus::from_config(&config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc = include_str!("keys.md")]
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Which numbers hold where nothing else is said. Default [`Profile::Production`].
    pub profile: Option<Profile>,
    /// The connection.
    pub connection: ConnectionConfig,
    /// How long a publish waits for its ack before its outcome is `Unknown`. Default 5 s.
    pub publish_timeout: Option<Duration>,
    /// How many publishes may wait for their ack: [`crate::Limits::pending_acks`]. Default 1000.
    pub async_max_pending: Option<u32>,
    /// What [`crate::EventBus::from_config`] may do to ensure [`Config::topics`]. Default [`Strategy::CreateOnly`].
    pub strategy: Option<Strategy>,
    /// What every subscription begins with.
    pub consumer: ConsumerSettings,
    /// What every topic begins with.
    pub stream: StreamSettings,
    /// What every publisher begins with.
    pub publisher: PublisherSettings,
    /// Topics that [`crate::EventBus::from_config`] ensures.
    pub topics: Vec<TopicConfig>,
}

/// How to connect: the keys below `eventbus.nats`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The servers, with commas between. May have credentials in it. Default `nats://127.0.0.1:4222`.
    pub urls: Option<Secret>,
    /// The name of the connection. Default: none.
    pub name: Option<String>,
    /// The user, who needs a password.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// A `.creds` file.
    pub creds_file: Option<PathBuf>,
    /// The seed of an NKey.
    pub nkey_seed: Option<Secret>,
    /// What inboxes begin with. Default `_INBOX`.
    pub inbox_prefix: Option<String>,
    /// How long connecting to one address may take. Default 5 s.
    pub connect_timeout: Option<Duration>,
    /// How often a PING is sent. Default 20 s.
    pub ping_interval: Option<Duration>,
    /// How many PINGs may be unanswered. Default 2.
    pub max_pings_out: Option<u32>,
    /// Whether connecting goes on in the background if no server can be reached at first. Default: not.
    pub retry_on_failed_connect: Option<bool>,
    /// TLS.
    pub tls: TlsConfig,
}

/// How TLS is done: the keys below `eventbus.nats.tls`. Needs the feature `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Whether it is demanded. Default: if anything else of it is said.
    pub enabled: Option<bool>,
    /// A PEM file with the certificates to trust. Default: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with our own certificate, which needs its key.
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the key of our certificate.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must be for. Default: the host of the URL.
    pub server_name: Option<String>,
    /// Whether TLS begins before the server says anything. Default: not.
    pub handshake_first: Option<bool>,
}

/// What subscriptions begin with: the keys below `eventbus.nats.jetstream.consumer`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerSettings {
    /// What the names of consumers begin with: with `orders`, `subscribe("billing")` uses the consumer `orders-billing`. The old
    /// system's one consumer for everything is so `subscribe("unified")`. Default: nothing.
    pub durable_name: Option<String>,
    /// How many events of a consumer may be delivered and not settled, over all processes. Default: by profile.
    pub max_ack_pending: Option<u32>,
    /// How many pulls of a new consumer may wait in the server; one that is there keeps what it has, as the server does not change it.
    /// Default: by profile.
    pub max_waiting: Option<u32>,
    /// How long the server waits for a sign of life before it delivers an event again. Default: by profile.
    pub ack_wait: Option<Duration>,
    /// Most events that one process has requested or held at once. In the old system this was the batch of a fetch; here pulls overlap, and
    /// their batches adapt. Default: `max_ack_pending`, but no more than [`crate::Limits::consumer_messages`].
    pub fetch_batch: Option<u32>,
    /// Fewest events that one process requests, and those that it begins with, however slow the handlers are. Default 100.
    pub fetch_batch_least: Option<u32>,
    /// In the old system, how long a fetch waited for events. Read and checked, and of no effect: here a pull waits in the server until
    /// there are events, which then come at once, so no choice is to be made.
    pub max_wait: Option<Duration>,
}

/// What topics begin with: the keys below `eventbus.nats.jetstream.stream`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSettings {
    /// The stream that stores all topics. Default: each topic has one, named after it.
    pub name: Option<String>,
    /// Most bytes kept. Default: by profile.
    pub max_bytes: Option<Limit>,
    /// Most events kept. Default: by profile.
    pub max_msgs: Option<Limit>,
    /// How long events are kept. Default: for ever.
    pub retain: Option<Duration>,
    /// When events go. Default: when a limit is reached.
    pub retention: Option<Retention>,
    /// How many servers keep a copy. Default 1.
    pub replicas: Option<u32>,
    /// Where events are kept. Default: on disk.
    pub storage: Option<Storage>,
    /// What happens when a limit is reached. Default: the oldest events go.
    pub discard: Option<Discard>,
    /// How long an event id is remembered. Default: two minutes.
    pub duplicate_window: Option<Duration>,
}

/// A bound of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// There is none.
    Unlimited,
    /// So many.
    Most(u64),
}

/// What publishers begin with: the keys below `eventbus.publisher`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherSettings {
    /// How many events a publisher publishes in a second at most. Default: no limit.
    pub rate: Option<u32>,
    /// How many at once, after a pause; needs a rate. Default: those of ten milliseconds.
    pub burst: Option<u32>,
    /// How many events may be accepted and have no outcome. Default 10 000.
    pub most: Option<u32>,
    /// How long an event is tried. Default 60 s.
    pub patience: Option<Duration>,
    /// What happens to the later events of an aggregate when the publish of one fails. Default [`KeyOrder::Free`].
    pub order: Option<KeyOrder>,
}

/// Whether the events of a topic are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Persistence {
    /// In a stream: [`crate::Topic`].
    #[default]
    Persistent,
    /// Nowhere: [`crate::Topic::core`]. Nothing else can be said of such a topic.
    Core,
}

/// A topic to be ensured: an item of `eventbus.topics`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// The subject, wildcards allowed.
    pub name: String,
    /// Whether its events are stored at all. Default [`Persistence::Persistent`].
    pub persistence: Option<Persistence>,
    /// How it is stored, where that differs from [`Config::stream`]; its name is the key `stream`.
    pub stream: StreamSettings,
    /// Whether batches of its events may be stored all or not at all. Default: not.
    pub atomic: Option<bool>,
}
