//! What becomes of a config: a connection, what the bus begins with, and topics that are ensured.

use std::path::Path;
use std::time::Duration;

use jetlane_client::{ConnectError, ConnectOptions, Limits};
use jetlane_jetstream::{JetStream, JetStreamOptions};

use super::{
    Config, ConfigError, ConnectionConfig, Limit, OpenError, Persistence, PublisherSettings,
    StreamSettings, TlsConfig, TopicConfig,
};
use crate::bus::Defaults;
use crate::publish::PublisherDefaults;
use crate::subscribe::SubscribeDefaults;
use crate::topic::{Declared, TopicDefaults};
use crate::{EventBus, Rate, TopicError};

/// Where nats-server is if nothing else is said.
const LOCAL: &str = "nats://127.0.0.1:4222";
/// A bus whose topics can not be ensured has this long to write its farewell.
const FAREWELL: Duration = Duration::from_secs(1);

impl EventBus {
    /// A bus as the YAML file at `path` says, and nothing else: see [`Config`].
    ///
    /// # Errors
    /// [`OpenError`] says why not.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::from_config(&Config::from_file(path)?)
    }

    /// A bus as the environment says: see [`Config::from_env`].
    ///
    /// # Errors
    /// [`OpenError`] says why not.
    pub fn from_env() -> Result<Self, OpenError> {
        Self::from_config(&Config::from_env()?)
    }

    /// A bus as `config` says: connects, ensures its topics, and has all that is begun on the bus begin with its numbers.
    ///
    /// # Errors
    /// [`OpenError`] says why not. Nothing is left behind then but streams that were created.
    pub fn from_config(config: &Config) -> Result<Self, OpenError> {
        let options = config.connect_options()?;
        let urls = config.connection.urls.as_ref().map_or(LOCAL, |urls| urls.reveal());
        let client = options.connect(urls)?;
        let mut times = JetStreamOptions::default();
        times.publish_timeout = config.publish_timeout.unwrap_or(times.publish_timeout);
        let js = JetStream::with_options(client, times).map_err(|error| {
            // A connection that was open a moment ago was lost for good.
            ConnectError::Reactor(std::io::Error::other(error))
        })?;
        let bus = Self::with_defaults(js, config.defaults());
        for topic in &config.topics {
            config.ensure(&bus, topic).map_err(|source| {
                let _ = bus.close(FAREWELL);
                OpenError::Topic { topic: topic.name.clone(), source }
            })?;
        }
        Ok(bus)
    }
}

impl Config {
    /// How to connect.
    fn connect_options(&self) -> Result<ConnectOptions, ConfigError> {
        let mut options = self.connection.tls.over(self.connection.options())?;
        if let Some(pending_acks) = self.async_max_pending {
            options = options.limits(Limits { pending_acks, ..Limits::default() });
        }
        Ok(options)
    }

    /// What the bus begins with.
    fn defaults(&self) -> Defaults {
        let profile = self.profile.unwrap_or_default();
        let consumer = profile.consumer(&self.consumer);
        let stream = profile.stream(&self.stream);
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Defaults {
            topic: TopicDefaults { stream: stream.name.clone(), declared: stream.declared() },
            subscribe: SubscribeDefaults {
                prefix: consumer.durable_name,
                ack_wait: consumer.ack_wait,
                most_held: consumer.fetch_batch.map(size),
                least_held: consumer.fetch_batch_least.map(size),
                max_ack_pending: consumer.max_ack_pending.map(size),
                max_waiting: consumer.max_waiting,
            },
            publisher: self.publisher.defaults(),
        }
    }

    fn ensure(&self, bus: &EventBus, topic: &TopicConfig) -> Result<(), TopicError> {
        let strategy = self.strategy.unwrap_or(crate::Strategy::CreateOnly);
        let mut declaration = bus.topic(&topic.name);
        if topic.is_core() {
            return declaration.core().ensure(strategy);
        }
        let stream = self.stream_of(topic);
        if let Some(name) = &stream.name {
            let shares = |other: &&TopicConfig| {
                !other.is_core() && self.stream_of(other).name.as_ref() == Some(name)
            };
            let others = self.topics.iter().filter(shares).map(|other| other.name.clone());
            declaration = declaration.stream(name).beside(others.collect());
        }
        let mut declared = stream.declared();
        declared.allow_atomic = topic.atomic;
        declaration.declare(declared).ensure(strategy).map(|_| ())
    }

    /// How a topic is stored: as it says, then as it is said of all, then by profile.
    fn stream_of(&self, topic: &TopicConfig) -> StreamSettings {
        let (own, all) = (&topic.stream, &self.stream);
        let said = StreamSettings {
            name: own.name.clone().or_else(|| all.name.clone()),
            max_bytes: own.max_bytes.or(all.max_bytes),
            max_msgs: own.max_msgs.or(all.max_msgs),
            retain: own.retain.or(all.retain),
            retention: own.retention.or(all.retention),
            replicas: own.replicas.or(all.replicas),
            storage: own.storage.or(all.storage),
            discard: own.discard.or(all.discard),
            duplicate_window: own.duplicate_window.or(all.duplicate_window),
        };
        self.profile.unwrap_or_default().stream(&said)
    }
}

impl TopicConfig {
    fn is_core(&self) -> bool {
        self.persistence == Some(Persistence::Core)
    }

    /// Says something of a stream where there is none.
    pub(super) fn contradicts_itself(&self) -> bool {
        self.is_core() && (self.stream != StreamSettings::default() || self.atomic.is_some())
    }
}

impl ConnectionConfig {
    fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new();
        if let Some(name) = &self.name {
            options = options.name(name);
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            options = options.user_password(user, password.reveal());
        }
        if let Some(token) = &self.token {
            options = options.token(token.reveal());
        }
        if let Some(path) = &self.creds_file {
            options = options.credentials_file(path);
        }
        if let Some(seed) = &self.nkey_seed {
            options = options.nkey(seed.reveal());
        }
        if let Some(prefix) = &self.inbox_prefix {
            options = options.inbox_prefix(prefix);
        }
        if let Some(timeout) = self.connect_timeout {
            options = options.connect_timeout(timeout);
        }
        if let Some(interval) = self.ping_interval {
            options = options.ping_interval(interval);
        }
        if let Some(most) = self.max_pings_out {
            options = options.max_pings_out(most);
        }
        match self.retry_on_failed_connect {
            Some(true) => options.retry_on_failed_connect(),
            _ => options,
        }
    }
}

impl TlsConfig {
    /// Whether it is demanded.
    fn is_demanded(&self) -> bool {
        self.enabled.unwrap_or(*self != Self::default())
    }

    #[cfg(feature = "tls")]
    fn over(&self, options: ConnectOptions) -> Result<ConnectOptions, ConfigError> {
        if !self.is_demanded() {
            return Ok(options);
        }
        let mut tls = jetlane_client::Tls::new();
        if let Some(path) = &self.ca_file {
            tls = tls.root_certificates(path);
        }
        if let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) {
            tls = tls.client_certificate(certificate, key);
        }
        if let Some(name) = &self.server_name {
            tls = tls.server_name(name);
        }
        if self.handshake_first == Some(true) {
            tls = tls.handshake_first();
        }
        Ok(options.tls(tls))
    }

    #[cfg(not(feature = "tls"))]
    fn over(&self, options: ConnectOptions) -> Result<ConnectOptions, ConfigError> {
        if !self.is_demanded() {
            return Ok(options);
        }
        let reason = "needs the feature `tls` of jetlane, which was left out".into();
        let (place, key) = (super::Place::default(), "eventbus.nats.tls".into());
        Err(ConfigError::Value { place, key, reason })
    }
}

impl StreamSettings {
    fn declared(&self) -> Declared {
        Declared {
            storage: self.storage,
            retention: self.retention,
            max_age: self.retain,
            max_msgs: self.max_msgs.and_then(Limit::most),
            max_bytes: self.max_bytes.and_then(Limit::most),
            discard: self.discard,
            num_replicas: self.replicas,
            duplicate_window: self.duplicate_window,
            allow_atomic: None,
        }
    }
}

impl Limit {
    fn most(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Most(most) => Some(most),
        }
    }
}

impl PublisherSettings {
    fn defaults(&self) -> PublisherDefaults {
        let rate = self.rate.map(|events| {
            let rate = Rate::per_second(events);
            self.burst.map_or(rate, |burst| rate.burst(burst))
        });
        let most = self.most.and_then(|most| usize::try_from(most).ok());
        PublisherDefaults { order: self.order, rate, most, patience: self.patience }
    }
}
