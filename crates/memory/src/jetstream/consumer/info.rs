use serde_json::{Map, Value, json};

use super::{Consumer, Turn};
use crate::routes::Routes;

impl Consumer {
    /// Requests that nobody waits for any more do not count.
    pub(in crate::jetstream) fn info(
        &mut self,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Map<String, Value> {
        self.drop_ended(routes, turn);
        let now = turn.now;
        let delivered = (self.deliveries, self.next.saturating_sub(1));
        // All before the first that is not settled.
        let floor = self.unacked.first_key_value().map_or(delivered, |(&sequence, unacked)| {
            (unacked.consumer_sequence - 1, sequence.saturating_sub(1))
        });
        let redelivered = self.unacked.values().filter(|unacked| unacked.delivered > 1).count();
        let mut info = Map::new();
        let mut set = |name: &str, value: Value| info.insert(name.into(), value);
        set("stream_name", (*self.stream).into());
        set("name", (*self.name).into());
        set("created", self.created.text().into());
        set("config", serde_json::to_value(&self.config).unwrap_or_default());
        set("delivered", pair(delivered));
        set("ack_floor", pair(floor));
        set("num_ack_pending", self.unacked.len().into());
        set("num_redelivered", redelivered.into());
        set("num_waiting", self.waiting.len().into());
        set("num_pending", self.undelivered.into());
        if let Some(until) = self.config.pause_until.filter(|_| self.is_paused(now)) {
            set("paused", true.into());
            set("pause_remaining", (until.0 - now.wall.0).into());
        }
        set("ts", now.wall.text().into());
        info
    }
}

fn pair((consumer, stream): (u64, u64)) -> Value {
    json!({ "consumer_seq": consumer, "stream_seq": stream })
}
