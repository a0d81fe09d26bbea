//! How a subscription is, for those who look after it.

use std::time::{Duration, SystemTime};

use jetlane_jetstream::{ApiError, ConsumerInfo, Get, JetStream};

use super::breaker::BreakerState;
use super::running::Subscription;
use super::stalled::StalledEvent;

/// How a subscription is: see [`Subscription::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionHealth {
    /// Its name.
    pub name: String,
    /// What the server says of its consumer, or why it says nothing.
    pub consumer: Result<Backlog, ApiError>,
    /// Events that have failed and are not settled yet; the oldest first. The later events of their aggregates wait.
    pub stalled: Vec<StalledEvent>,
    /// How many aggregates are parked.
    pub parked_keys: usize,
    /// Whether events are tried at all; `None` without a circuit breaker.
    pub breaker: Option<BreakerState>,
    /// What went wrong last, in words.
    pub last_error: Option<String>,
}

/// What a consumer has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Events that are stored and were never delivered.
    pub undelivered: u64,
    /// Events that are delivered and not settled.
    pub unsettled: u64,
    /// How many pulls wait for events. 0 where nobody consumes; also for a moment where there is much to do.
    pub waiting_pulls: u64,
    /// How old the oldest event is that is not settled, by the clocks of this host and the server's; `None` if all are.
    pub oldest: Option<Duration>,
    /// True while the consumer is paused (server 2.11).
    pub paused: bool,
}

impl Subscription {
    /// How it is now. Asks the server, and so blocks, for the API timeout at most a question.
    pub fn health(&self) -> SubscriptionHealth {
        let shared = self.shared();
        // Before the server is asked: what is stalled is then no older than what the server says is the oldest.
        let stalled = shared.stalled.list();
        SubscriptionHealth {
            name: self.name().into(),
            consumer: self.backlog(),
            stalled,
            parked_keys: shared.parked.count(),
            breaker: shared.breaker.as_ref().map(|breaker| breaker.state()),
            last_error: shared.last_error(),
        }
    }

    fn backlog(&self) -> Result<Backlog, ApiError> {
        let closed = || ApiError::Request(jetlane_client::RequestError::Closed);
        let (bus, stream) = (self.bus().ok_or_else(closed)?, self.stream());
        let info = bus.jetstream().consumer_info(stream, self.name()).wait()?;
        Ok(Backlog {
            undelivered: info.num_pending,
            unsettled: info.num_ack_pending,
            waiting_pulls: info.num_waiting,
            oldest: oldest(bus.jetstream(), stream, &info)?,
            paused: info.paused,
        })
    }
}

/// The age of the oldest event that is not settled: the first one behind the ack floor that the consumer is for.
fn oldest(js: &JetStream, stream: &str, info: &ConsumerInfo) -> Result<Option<Duration>, ApiError> {
    if info.num_pending + info.num_ack_pending == 0 {
        return Ok(None);
    }
    let sequence = info.ack_floor.stream_seq.saturating_add(1);
    let config = &info.config;
    let mut filters: Vec<&str> = config.filter_subjects.iter().map(String::as_str).collect();
    if filters.is_empty() {
        filters.push(if config.filter_subject.is_empty() { ">" } else { &config.filter_subject });
    }
    let next = |subject| js.get_message(stream, Get::Next { subject, sequence });
    let calls: Vec<_> = filters.into_iter().map(next).collect();
    let mut oldest: Option<SystemTime> = None;
    for call in calls {
        match call.wait() {
            Ok(message) => {
                oldest = Some(oldest.map_or(message.time, |time| time.min(message.time)));
            }
            Err(ApiError::MessageNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(oldest.map(|time| time.elapsed().unwrap_or_default()))
}
