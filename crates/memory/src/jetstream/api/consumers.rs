use serde::Deserialize;
use serde_json::json;

use super::{Answer, Call, fields, success};
use crate::clock::{WallTime, read_time, text_of};
use crate::jetstream::consumer::{AckPolicy, Consumer, ConsumerConfig, DeliverPolicy};
use crate::jetstream::error::Refusal;
use crate::jetstream::fields::limit;
use crate::jetstream::stream::{Retention, Stream};
use crate::jetstream::{Handled, JetStream, Request, Turn};
use crate::routes::Routes;
use crate::subjects::overlap;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Create {
    stream_name: String,
    config: ConsumerConfig,
    action: Action,
    #[serde(rename = "pedantic")]
    _pedantic: bool,
}

/// What may become of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    #[serde(rename = "")]
    CreateOrUpdate,
    Create,
    Update,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pause {
    #[serde(deserialize_with = "read_time")]
    pause_until: Option<WallTime>,
}

impl JetStream {
    /// `name` and `filter` are what the subject of the request says.
    pub(super) fn create_consumer(
        &mut self,
        stream: &str,
        name: Option<&str>,
        filter: Option<&str>,
        with: &mut Call<'_>,
    ) -> Answer {
        let Create { stream_name, mut config, action, .. } =
            serde_json::from_slice(with.body).map_err(Refusal::bad_json)?;
        if stream_name != stream {
            let reason = "stream name in subject does not match request";
            return Err(Refusal::new(400, 10056, reason));
        }
        match name {
            Some(name) if config.name.is_empty() => config.name = name.into(),
            Some(name) if config.name != name => {
                let reason = "name in subject does not match durable name in request";
                return Err(Refusal::new(400, 10017, reason));
            }
            _ => {}
        }
        if filter.is_some_and(|filter| filter != config.filter_subject) {
            let reason =
                "Consumer create request did not match filtered subject from create subject";
            return Err(Refusal::new(400, 10131, reason));
        }
        let unnamed = self.next_name();
        let stream = self.stream(stream)?;
        let config = config.complete()?;
        let name = match config.name.as_str() {
            "" => unnamed,
            name => name.to_owned(),
        };
        match stream.consumers.contains_key(&name) {
            true => stream.update_consumer(&name, config, action, with)?,
            false => stream.add_consumer(&name, config, action, with)?,
        }
        let consumer = stream.consumers.get_mut(&name).ok_or_else(Refusal::no_consumer)?;
        Ok(consumer.info(with.routes, with.turn))
    }

    /// A name for a consumer that was given none.
    fn next_name(&self) -> String {
        // Counts with every request, and so never comes again.
        format!("unnamed{:08}", self.api_total)
    }

    pub(super) fn consumer_info(
        &mut self,
        stream: &str,
        name: &str,
        with: &mut Call<'_>,
    ) -> Answer {
        let consumer = self.consumer(stream, name)?;
        Ok(consumer.info(with.routes, with.turn))
    }

    pub(super) fn delete_consumer(
        &mut self,
        stream: &str,
        name: &str,
        with: &mut Call<'_>,
    ) -> Answer {
        let gone = self.stream(stream)?.drop_consumer(name, with.turn);
        gone.map(|()| success()).ok_or_else(Refusal::no_consumer)
    }

    pub(super) fn pause_consumer(
        &mut self,
        stream: &str,
        name: &str,
        with: &mut Call<'_>,
    ) -> Answer {
        let consumer = self.consumer(stream, name)?;
        // What can not be read resumes it, as it does on a nats-server.
        let Pause { pause_until } = serde_json::from_slice(with.body).unwrap_or_default();
        consumer.pause(pause_until, with.turn);
        let now = with.turn.now;
        let mut answer = json!({
            "paused": consumer.is_paused(now),
            "pause_until": text_of(pause_until),
        });
        if let Some(until) = pause_until.filter(|_| consumer.is_paused(now)) {
            answer["pause_remaining"] = (until.0 - now.wall.0).into();
        }
        Ok(fields(answer))
    }

    fn consumer(&mut self, stream: &str, name: &str) -> Result<&mut Consumer, Refusal> {
        self.stream(stream)?.consumers.get_mut(name).ok_or_else(Refusal::no_consumer)
    }

    pub(super) fn pull(
        &mut self,
        stream: &str,
        name: &str,
        request: &Request<'_>,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Handled {
        let Some(stream) = self.streams.get_mut(stream) else { return Handled::No };
        let Some(consumer) = stream.consumers.get_mut(name) else { return Handled::No };
        if let Some(inbox) = request.reply {
            consumer.pull(inbox, request.content.payload(), routes, turn);
            stream.wake(routes, turn);
        }
        Handled::Yes
    }
}

impl Stream {
    fn add_consumer(
        &mut self,
        name: &str,
        config: ConsumerConfig,
        action: Action,
        with: &mut Call<'_>,
    ) -> Result<(), Refusal> {
        if action == Action::Update {
            return Err(Refusal::new(400, 10149, "consumer does not exist"));
        }
        if limit(self.config.max_consumers).is_some_and(|most| self.consumers.len() as u64 >= most)
        {
            return Err(Refusal::new(400, 10026, "maximum consumers limit reached"));
        }
        self.check_retention(name, &config)?;
        let consumer = Consumer::new(&self.name, name, config, &self.store, with.turn.now);
        consumer.tell_created(with.turn);
        consumer.next_due(with.turn.now).into_iter().for_each(|due| with.turn.remind(due));
        self.consumers.insert(name.into(), consumer);
        Ok(())
    }

    fn update_consumer(
        &mut self,
        name: &str,
        config: ConsumerConfig,
        action: Action,
        with: &mut Call<'_>,
    ) -> Result<(), Refusal> {
        self.check_retention(name, &config)?;
        let consumer = self.consumers.get_mut(name).ok_or_else(Refusal::no_consumer)?;
        if consumer.config == config {
            return Ok(());
        }
        if action == Action::Create {
            return Err(Refusal::new(400, 10148, "consumer already exists"));
        }
        consumer.config.check_update(&config)?;
        consumer.update(config, &self.store);
        with.turn.remind(with.turn.now.instant);
        self.wake(with.routes, with.turn);
        Ok(())
    }

    /// In a work queue every message is for one consumer, which acknowledges it.
    fn check_retention(&self, name: &str, config: &ConsumerConfig) -> Result<(), Refusal> {
        if self.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        let refused = |number, reason: &str| Err(Refusal::new(400, number, reason));
        if config.ack_policy == AckPolicy::None {
            return refused(10098, "workqueue stream requires explicit ack");
        }
        if config.deliver_policy != DeliverPolicy::All {
            return refused(10101, "consumer must be deliver all on workqueue stream");
        }
        let others = self.consumers.values().filter(|other| &*other.name != name);
        let filters = config.filters();
        for other in others.map(|other| other.config.filters()) {
            if filters.is_empty() || other.is_empty() {
                return refused(
                    10099,
                    "multiple non-filtered consumers not allowed on workqueue stream",
                );
            }
            let mut pairs = filters.iter().flat_map(|one| other.iter().map(move |two| (one, two)));
            if pairs.any(|(one, two)| overlap(one.as_str(), two.as_str())) {
                return refused(10100, "filtered consumer not unique on workqueue stream");
            }
        }
        Ok(())
    }
}
