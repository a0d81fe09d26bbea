use std::time::SystemTime;

use serde::Deserialize;

use super::{Advisory, AdvisoryEvent};
use crate::{PeerInfo, wire};

const PREFIX: &str = "$JS.EVENT.ADVISORY.CONSUMER.";

/// Why a message is no advisory. The fault of who published it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvisoryError {
    /// Its subject is not that of an advisory about a consumer.
    #[error("the subject {subject:?} is not that of an advisory about a consumer")]
    Subject {
        /// The subject.
        subject: String,
    },
    /// Its payload can not be read.
    #[error("the advisory can not be read: {reason}")]
    Malformed {
        /// What the JSON reader said.
        reason: String,
    },
}

/// All that any advisory about a consumer says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    id: String,
    #[serde(with = "wire::time")]
    timestamp: Option<SystemTime>,
    domain: String,
    stream_seq: Option<u64>,
    consumer_seq: Option<u64>,
    deliveries: Option<u64>,
    reason: String,
    leader: String,
    #[serde(deserialize_with = "wire::or_default")]
    replicas: Vec<PeerInfo>,
    paused: bool,
    #[serde(with = "wire::time")]
    pause_until: Option<SystemTime>,
}

impl Advisory {
    /// The subject of all that servers tell about a consumer. The names must be such: neither dots, wildcards nor white space.
    pub fn filter(stream: &str, consumer: &str) -> String {
        format!("{PREFIX}*.{stream}.{consumer}")
    }

    /// Reads a message that came on `$JS.EVENT.ADVISORY.CONSUMER.<kind>.<stream>.<consumer>` (ADR-2). What it is about is what its subject
    /// says.
    ///
    /// # Errors
    /// [`AdvisoryError`] if it is something else; anybody may publish there.
    pub fn read(subject: &str, payload: &[u8]) -> Result<Self, AdvisoryError> {
        let other = || AdvisoryError::Subject { subject: subject.into() };
        let mut tokens = subject.strip_prefix(PREFIX).ok_or_else(other)?.split('.');
        let (Some(kind), Some(stream), Some(consumer), None) =
            (tokens.next(), tokens.next(), tokens.next(), tokens.next())
        else {
            return Err(other());
        };
        let wire: Wire = serde_json::from_slice(payload)
            .map_err(|error| AdvisoryError::Malformed { reason: error.to_string() })?;
        let (id, time, domain) = (wire.id.clone(), wire.timestamp, wire.domain.clone());
        let event = wire.event(kind)?;
        Ok(Self { stream: stream.into(), consumer: consumer.into(), id, time, domain, event })
    }
}

impl Wire {
    fn event(self, kind: &str) -> Result<AdvisoryEvent, AdvisoryError> {
        // Without them nobody could tell which message is meant, and 0 would be taken for one.
        let need = |name: &str, number: Option<u64>| {
            number.ok_or_else(|| AdvisoryError::Malformed { reason: format!("it has no {name}") })
        };
        let stream_sequence = || need("stream_seq", self.stream_seq);
        let consumer_sequence = || need("consumer_seq", self.consumer_seq);
        let deliveries = || need("deliveries", self.deliveries);
        Ok(match kind {
            "MAX_DELIVERIES" => AdvisoryEvent::MaxDeliveries {
                stream_sequence: stream_sequence()?,
                deliveries: deliveries()?,
            },
            "MSG_TERMINATED" => AdvisoryEvent::Terminated {
                stream_sequence: stream_sequence()?,
                consumer_sequence: consumer_sequence()?,
                deliveries: deliveries()?,
                reason: self.reason,
            },
            "MSG_NAKED" => AdvisoryEvent::Nak {
                stream_sequence: stream_sequence()?,
                consumer_sequence: consumer_sequence()?,
                deliveries: deliveries()?,
            },
            "LEADER_ELECTED" => {
                AdvisoryEvent::LeaderElected { leader: self.leader, replicas: self.replicas }
            }
            "QUORUM_LOST" => AdvisoryEvent::QuorumLost { replicas: self.replicas },
            "PAUSE" if self.paused => AdvisoryEvent::Paused { until: self.pause_until },
            "PAUSE" => AdvisoryEvent::Resumed,
            other => AdvisoryEvent::Other { kind: other.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, payload: &str) -> Result<AdvisoryEvent, AdvisoryError> {
        let subject = format!("{PREFIX}{kind}.S.C");
        Advisory::read(&subject, payload.as_bytes()).map(|advisory| {
            assert_eq!((advisory.stream.as_str(), advisory.consumer.as_str()), ("S", "C"));
            advisory.event
        })
    }

    #[test]
    fn what_only_a_cluster_sends_is_read() {
        let elected = r#"{"type":"io.nats.jetstream.advisory.v1.consumer_leader_elected","id":"x",
            "timestamp":"2026-11-21T10:00:00.1Z","stream":"S","consumer":"C","leader":"n2",
            "replicas":[{"name":"n1","current":true,"active":5,"peer":"a"}]}"#;
        let AdvisoryEvent::LeaderElected { leader, replicas } =
            read("LEADER_ELECTED", elected).unwrap()
        else {
            panic!("another event")
        };
        assert_eq!((leader.as_str(), replicas[0].name.as_str()), ("n2", "n1"));
        let lost = read("QUORUM_LOST", r#"{"replicas":null}"#).unwrap();
        assert_eq!(lost, AdvisoryEvent::QuorumLost { replicas: Vec::new() });
        let other = read("UNHEARD_OF", "{}").unwrap();
        assert_eq!(other, AdvisoryEvent::Other { kind: "UNHEARD_OF".into() });
    }

    #[test]
    fn what_is_no_advisory_is_an_error_and_nothing_panics() {
        for subject in [
            "",
            "a.b",
            "$JS.EVENT.ADVISORY.CONSUMER.",
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S",
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C.more",
            "$JS.EVENT.ADVISORY.STREAM.CREATED.S",
        ] {
            let read = Advisory::read(subject, b"{}");
            assert!(matches!(read, Err(AdvisoryError::Subject { .. })), "{subject}: {read:?}");
        }
        let whole =
            r#"{"id":"x","timestamp":"2026-11-21T10:00:00Z","stream_seq":1,"deliveries":2}"#;
        assert!(read("MAX_DELIVERIES", whole).is_ok());
        let cut = (0..whole.len()).map(|end| &whole[..end]);
        let wrong = [
            "{}",
            "[]",
            "null",
            "1",
            r#"{"stream_seq":-1,"deliveries":2}"#,
            r#"{"stream_seq":1.5,"deliveries":2}"#,
            r#"{"stream_seq":99999999999999999999,"deliveries":2}"#,
            r#"{"stream_seq":1,"deliveries":2,"timestamp":"yesterday"}"#,
            r#"{"stream_seq":1,"deliveries":2,"timestamp":"-999999-01-01T00:00:00Z"}"#,
            r#"{"stream_seq":1,"stream_seq":1,"deliveries":2}"#,
        ];
        for payload in cut.chain(wrong) {
            let read = read("MAX_DELIVERIES", payload);
            assert!(matches!(read, Err(AdvisoryError::Malformed { .. })), "{payload}: {read:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(read("MAX_DELIVERIES", &deep).is_err());
        assert!(Advisory::read(&format!("{PREFIX}PAUSE.S.C"), b"\xff\xfe").is_err());
    }
}
