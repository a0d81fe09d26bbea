use std::fmt::Write;
use std::time::Duration;

use jetlane_outbox::{DatabaseError, PartitionBacklog, RelayView, StoppedKey, Upkeep};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// How an outbox is.
pub(super) struct Status {
    backlog: Vec<PartitionBacklog>,
    relays: Vec<RelayView>,
    stopped: Vec<StoppedKey>,
}

impl Status {
    pub(super) fn of(upkeep: &mut Upkeep) -> Result<Self, DatabaseError> {
        let (backlog, relays) = (upkeep.backlog()?, upkeep.relays()?);
        Ok(Self { backlog, relays, stopped: upkeep.stopped()? })
    }

    fn waiting(&self) -> u64 {
        self.backlog.iter().map(|partition| partition.waiting).sum()
    }

    fn oldest(&self) -> Option<Duration> {
        self.backlog.iter().map(|partition| partition.oldest).max()
    }

    /// For people: a line for each thing.
    pub(super) fn text(&self, by_partition: bool) -> String {
        let mut lines = vec![match self.oldest() {
            Some(oldest) => {
                format!("{} events wait, the oldest one for {}", self.waiting(), rough(oldest))
            }
            None => "nothing waits".to_owned(),
        }];
        if by_partition {
            lines.extend(self.backlog.iter().map(|of| {
                let PartitionBacklog { partition, waiting, oldest, .. } = of;
                format!("partition {partition}: {waiting}, the oldest one for {}", rough(*oldest))
            }));
        }
        match self.relays.is_empty() {
            true => lines.push("no relay is there".to_owned()),
            false => lines.extend(self.relays.iter().map(of_relay)),
        }
        lines.extend(self.stopped.iter().map(of_key));
        lines.join("\n")
    }

    /// For programs: one object. Times are in seconds.
    pub(super) fn json(&self) -> Value {
        let partitions = self.backlog.iter().map(|of| {
            let oldest = of.oldest.as_secs_f64();
            json!({ "partition": of.partition, "waiting": of.waiting, "oldest": oldest })
        });
        let relays = self.relays.iter().map(
            |of| json!({ "relay": of.relay, "partitions": of.partitions, "trouble": of.trouble }),
        );
        let stopped = self.stopped.iter().map(|of| {
            json!({
                "key": of.key,
                "event_id": of.event_id,
                "reason": of.reason,
                "waiting": of.waiting,
                "since": of.since.as_secs_f64(),
            })
        });
        json!({
            "waiting": self.waiting(),
            "oldest": self.oldest().map(|oldest| oldest.as_secs_f64()),
            "partitions": partitions.collect::<Vec<_>>(),
            "relays": relays.collect::<Vec<_>>(),
            "stopped": stopped.collect::<Vec<_>>(),
        })
    }
}

fn of_relay(of: &RelayView) -> String {
    let mut line = format!("{}: {} partitions", of.relay, of.partitions);
    if let Some(trouble) = &of.trouble {
        let _ = write!(line, ", held up: {trouble}");
    }
    line
}

fn of_key(of: &StoppedKey) -> String {
    let StoppedKey { key, event_id, reason, waiting, since, .. } = of;
    let since = rough(*since);
    format!("{key} is stopped for {since}, {waiting} events wait: {reason} (event {event_id})")
}

/// To the second, as 2h 46m 40s.
fn rough(duration: Duration) -> String {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", SignedDuration::from_secs(seconds))
}
