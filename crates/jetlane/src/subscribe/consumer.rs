//! The durable consumer of a subscription: on which stream, and how it is set up.

use jetlane_client::SubjectFilter;
use jetlane_client::proto::check_name;
use jetlane_jetstream::{AckPolicy, ApiError, ConsumerConfig, ConsumerInfo, Settlement};

use super::handler::filters;
use super::{Owners, Subscribe, SubscribeError};

impl Subscribe {
    pub(super) fn make_consumer(&self) -> Result<ConsumerInfo, SubscribeError> {
        check_name(&self.name)?;
        if self.owners == Owners::Several && self.settlement == Settlement::Watermark {
            return Err(SubscribeError::SharedWatermark);
        }
        let stream = self.stream()?;
        let js = self.bus.jetstream();
        let there = match js.consumer_info(&stream, &self.name).wait() {
            Ok(info) => info.config,
            // Where it begins is said once: one that is there goes on where it is.
            Err(ApiError::ConsumerNotFound { .. }) => {
                let mut new = ConsumerConfig::durable(&self.name);
                // Nor can this be changed.
                new.max_waiting = self.max_waiting.map_or(0, i64::from);
                self.start_at.of(new)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(js.create_or_update_consumer(&stream, &self.declare(there)).wait()?)
    }

    /// What the subscription declares, over what is there.
    fn declare(&self, there: ConsumerConfig) -> ConsumerConfig {
        let mut config = there;
        config.ack_policy = match self.settlement {
            Settlement::Watermark => AckPolicy::All,
            Settlement::Nothing => AckPolicy::None,
            _ => AckPolicy::Explicit,
        };
        config.ack_wait = self.ack_wait;
        // The server reports a single filter in a field of its own, and takes only one of the two.
        config.filter_subject = String::new();
        // The server wants filters that do not overlap.
        config.filter_subjects = filters(&self.handlers);
        // What pushes can not be pulled from: without this the server says so now, and not at every pull.
        config.other.remove("deliver_subject");
        config.max_ack_pending(self.max_ack_pending.unwrap_or_else(|| self.held_at_most()))
    }

    /// The one stream that stores all topics.
    fn stream(&self) -> Result<String, SubscribeError> {
        let mut stream: Option<String> = None;
        for (topic, _) in &self.handlers {
            SubjectFilter::new(topic)
                .map_err(|source| SubscribeError::Topic { topic: topic.clone(), source })?;
            let found = self.find_stream(topic)?;
            match stream {
                Some(first) if first != found => {
                    return Err(SubscribeError::SeveralStreams { first, second: found });
                }
                _ => stream = Some(found),
            }
        }
        stream.ok_or(SubscribeError::NoHandler)
    }

    fn find_stream(&self, topic: &str) -> Result<String, SubscribeError> {
        if let Some(known) = self.bus.stream_of(topic) {
            return Ok(known);
        }
        let names = self.bus.jetstream().stream_names(topic).wait()?;
        let mut names = names.streams.unwrap_or_default().into_iter();
        match (names.next(), names.next()) {
            (Some(first), None) => Ok(first),
            (Some(first), Some(second)) => Err(SubscribeError::SeveralStreams { first, second }),
            (None, _) => Err(SubscribeError::NoStream { topic: topic.into() }),
        }
    }
}
