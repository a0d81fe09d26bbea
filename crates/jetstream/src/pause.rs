use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::call::Nothing;
use crate::{ApiCall, JetStream, wire};

/// The answer to a pause, or to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Paused {
    /// Whether the consumer is paused now. Not so if the time has passed already.
    #[serde(default)]
    pub paused: bool,
    /// Until when; `None` if it was told to go on.
    #[serde(default, with = "wire::time")]
    pub pause_until: Option<SystemTime>,
    /// How much longer; zero if it is not paused.
    #[serde(default, with = "wire::nanos")]
    pub pause_remaining: Duration,
}

impl JetStream {
    /// Lets a consumer deliver nothing until `until`, by the server's clock, or until it is resumed. Pulls stay open meanwhile, and get
    /// their heartbeats (`CONSUMER.PAUSE`, server 2.11). A time that has passed resumes it.
    pub fn pause_consumer(
        &self,
        stream: &str,
        consumer: &str,
        until: SystemTime,
    ) -> ApiCall<Paused> {
        #[derive(Serialize)]
        struct Ask {
            #[serde(with = "wire::time")]
            pause_until: Option<SystemTime>,
        }
        let ask = Ask { pause_until: Some(until) };
        self.consumer_call("PAUSE", stream, consumer, &ask)
    }

    /// Lets a consumer deliver again (`CONSUMER.PAUSE` without a time, server 2.11).
    pub fn resume_consumer(&self, stream: &str, consumer: &str) -> ApiCall<Paused> {
        self.consumer_call("PAUSE", stream, consumer, &Nothing {})
    }
}
