use std::sync::Arc;
use std::time::Duration;

use jetlane_client::{AsSubject, Client, HeaderBlock, SubscribeError};
use serde::{Deserialize, Serialize};

use crate::call::Nothing;
use crate::consume::Consume;
use crate::error::Names;
use crate::publish::Publisher;
use crate::{
    ApiCall, AtomicBatch, AtomicError, AtomicTicket, ConsumerConfig, ConsumerInfo, PublishError,
    StreamConfig, StreamInfo, Ticket,
};

/// The times of a [`JetStream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JetStreamOptions {
    /// How long an API request waits for its answer. Default 5 s.
    pub api_timeout: Duration,
    /// How long a publish waits for its ack before its outcome is `Unknown`. Default 5 s, kept to within a tenth of a second.
    pub publish_timeout: Duration,
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        let five_seconds = Duration::from_secs(5);
        Self { api_timeout: five_seconds, publish_timeout: five_seconds }
    }
}

/// JetStream on a connection. Cloning is cheap; make one a connection, as each has an inbox of its own for acks, which lives as
/// long as the connection.
#[derive(Clone, Debug)]
pub struct JetStream {
    client: Client,
    publisher: Arc<Publisher>,
    options: JetStreamOptions,
    pub(crate) patience: Patience,
}

/// What API calls do while there is no room for them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    Wait,
    Fail,
}

impl JetStream {
    /// JetStream on `client`, with default times. Makes no request.
    ///
    /// # Errors
    /// [`SubscribeError`] if the inbox for acks could not be subscribed to.
    pub fn new(client: Client) -> Result<Self, SubscribeError> {
        Self::with_options(client, JetStreamOptions::default())
    }

    /// JetStream on `client`.
    ///
    /// # Errors
    /// As [`JetStream::new`].
    pub fn with_options(client: Client, options: JetStreamOptions) -> Result<Self, SubscribeError> {
        let publisher = Arc::new(Publisher::new(&client, options.publish_timeout)?);
        Ok(Self { client, publisher, options, patience: Patience::Wait })
    }

    /// The same, whose API calls never wait: while the write queue is full, or [`Limits::requests`](jetlane_client::Limits::requests) wait for their answers, they fail
    /// at once. For threads that have something else to do.
    #[must_use]
    pub fn impatient(&self) -> Self {
        Self { patience: Patience::Fail, ..self.clone() }
    }

    /// Its times.
    pub fn options(&self) -> &JetStreamOptions {
        &self.options
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Queues a message for the stream that stores `subject`, and returns at once. Waits only while
    /// `Limits::pending_acks` publishes wait for their ack or the write queue is full, for `Limits::publish_wait` at most.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    #[inline]
    pub fn publish(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<Ticket, PublishError> {
        self.publisher.publish(&self.client, &subject, payload.as_ref())
    }

    /// As [`JetStream::publish`], but does not wait.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    #[inline]
    pub fn try_publish(
        &self,
        subject: impl AsSubject,
        payload: impl AsRef<[u8]>,
    ) -> Result<Ticket, PublishError> {
        self.publisher.try_publish(&self.client, &subject, payload.as_ref())
    }

    /// As [`JetStream::publish`], with headers. `Nats-Msg-Id` among them makes the stream drop a second message with
    /// the same id within its duplicate window.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    #[inline]
    pub fn publish_with(
        &self,
        subject: impl AsSubject,
        headers: &impl HeaderBlock,
        payload: impl AsRef<[u8]>,
    ) -> Result<Ticket, PublishError> {
        self.publisher.publish_with(&self.client, &subject, headers, payload.as_ref())
    }

    /// As [`JetStream::publish_with`], but does not wait.
    ///
    /// # Errors
    /// [`PublishError`]; nothing is sent then.
    #[inline]
    pub fn try_publish_with(
        &self,
        subject: impl AsSubject,
        headers: &impl HeaderBlock,
        payload: impl AsRef<[u8]>,
    ) -> Result<Ticket, PublishError> {
        self.publisher.try_publish_with(&self.client, &subject, headers, payload.as_ref())
    }

    /// Queues a batch of messages that the stream stores all or not at all, one right behind the other; the ticket tells which.
    /// It counts as one publish that waits for its ack. The server gives up a batch whose rest does not come within 10 s.
    ///
    /// All messages have to go to one stream that allows it ([`StreamConfig::allow_atomic`], server 2.12). (A stream in a cluster with
    /// servers older than that, led by one of them, stores them one by one: servers of that age know no batches.)
    ///
    /// # Errors
    /// [`AtomicError`]; nothing is sent then.
    pub fn publish_atomic(&self, batch: &AtomicBatch) -> Result<AtomicTicket, AtomicError> {
        self.publisher.publish_atomic(&self.client, batch)
    }

    /// How many publishes wait for their ack now.
    pub fn pending_acks(&self) -> u32 {
        self.publisher.pending()
    }

    /// Creates a stream. One with the same name and the same config is fine; another config is [`StreamExists`](crate::ApiError::StreamExists).
    pub fn create_stream(&self, config: &StreamConfig) -> ApiCall<StreamInfo> {
        self.stream_call("CREATE", &config.name, config)
    }

    /// Changes a stream.
    pub fn update_stream(&self, config: &StreamConfig) -> ApiCall<StreamInfo> {
        self.stream_call("UPDATE", &config.name, config)
    }

    /// What the server knows of a stream.
    pub fn stream_info(&self, stream: &str) -> ApiCall<StreamInfo> {
        self.stream_call("INFO", stream, &Nothing {})
    }

    /// Deletes a stream with all its messages.
    pub fn delete_stream(&self, stream: &str) -> ApiCall<Deleted> {
        self.stream_call("DELETE", stream, &Nothing {})
    }

    /// The names of the streams that store `subject` (wildcards allowed); the first 1024.
    pub fn stream_names(&self, subject: &str) -> ApiCall<StreamNames> {
        #[derive(Serialize)]
        struct Ask<'a> {
            subject: &'a str,
        }
        self.call("$JS.API.STREAM.NAMES".into(), &Ask { subject }, Names::default(), &[])
    }

    /// Creates a durable consumer. One with the same name and config is fine; another config is
    /// [`ConsumerExists`](crate::ApiError::ConsumerExists).
    pub fn create_consumer(&self, stream: &str, config: &ConsumerConfig) -> ApiCall<ConsumerInfo> {
        self.make_consumer(stream, config, "create")
    }

    /// Changes a consumer.
    pub fn update_consumer(&self, stream: &str, config: &ConsumerConfig) -> ApiCall<ConsumerInfo> {
        self.make_consumer(stream, config, "update")
    }

    /// Creates a durable consumer, or changes the one that is there.
    pub fn create_or_update_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
    ) -> ApiCall<ConsumerInfo> {
        self.make_consumer(stream, config, "")
    }

    /// What the server knows of a consumer.
    pub fn consumer_info(&self, stream: &str, consumer: &str) -> ApiCall<ConsumerInfo> {
        self.consumer_call("INFO", stream, consumer, &Nothing {})
    }

    /// Deletes a consumer, and what it knows of what was delivered.
    pub fn delete_consumer(&self, stream: &str, consumer: &str) -> ApiCall<Deleted> {
        self.consumer_call("DELETE", stream, consumer, &Nothing {})
    }

    /// Begins to consume from a consumer.
    pub fn consume(&self, consumer: &ConsumerInfo) -> Consume {
        Consume::new(self.client.clone(), consumer.clone())
    }

    fn make_consumer(
        &self,
        stream: &str,
        config: &ConsumerConfig,
        action: &str,
    ) -> ApiCall<ConsumerInfo> {
        #[derive(Serialize)]
        struct Ask<'a> {
            stream_name: &'a str,
            config: &'a ConsumerConfig,
            action: &'a str,
        }
        let ask = Ask { stream_name: stream, config, action };
        self.consumer_call("CREATE", stream, &config.durable_name, &ask)
    }
}

/// The answer to a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Deleted {
    /// True: anything else is an error.
    pub success: bool,
}

/// Names of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct StreamNames {
    /// The names; `null` on the wire if there is none.
    #[serde(default)]
    pub streams: Option<Vec<String>>,
}
