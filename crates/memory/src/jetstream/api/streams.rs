use serde_json::json;

use super::{Answer, Call, fields, read, success};
use crate::jetstream::JetStream;
use crate::jetstream::advisory::Advisory;
use crate::jetstream::error::Refusal;
use crate::jetstream::stream::{InfoRequest, Purge, Stream, StreamConfig};
use crate::subjects::overlap;

impl JetStream {
    pub(super) fn create_stream(&mut self, name: &str, with: &mut Call<'_>) -> Answer {
        let config = StreamConfig::read(with.body, name)?;
        let now = with.turn.now;
        match self.streams.get(name) {
            Some(there) if there.config != config => {
                let reason = "stream name already in use with a different configuration";
                return Err(Refusal::new(400, 10058, reason));
            }
            Some(_) => {}
            None => {
                self.check_overlap(&config)?;
                self.streams.insert(name.into(), Stream::new(config, now));
                tell(name, "CREATED", "create", with);
            }
        }
        let mut info = self.stream(name)?.info(now);
        info.insert("did_create".into(), true.into());
        Ok(info)
    }

    pub(super) fn update_stream(&mut self, name: &str, with: &mut Call<'_>) -> Answer {
        let config = StreamConfig::read(with.body, name)?;
        self.stream(name)?.config.check_update(&config)?;
        self.check_overlap(&config)?;
        let stream = self.stream(name)?;
        stream.update(config, with.routes, with.turn);
        let info = stream.info(with.turn.now);
        tell(name, "UPDATED", "modify", with);
        Ok(info)
    }

    /// No subject is stored by two streams.
    fn check_overlap(&self, config: &StreamConfig) -> Result<(), Refusal> {
        let others = self.streams.values().filter(|other| other.config.name != config.name);
        let mut taken = others.flat_map(|other| &other.config.subjects);
        match taken.any(|taken| config.subjects.iter().any(|subject| overlap(taken, subject))) {
            true => Err(Refusal::new(400, 10065, "subjects overlap with an existing stream")),
            false => Ok(()),
        }
    }

    pub(super) fn stream_info(&mut self, name: &str, with: &Call<'_>) -> Answer {
        let stream = self.stream(name)?;
        let ask: InfoRequest = read(with.body)?;
        Ok(stream.full_info(&ask, with.turn.now))
    }

    pub(super) fn delete_stream(&mut self, name: &str, with: &mut Call<'_>) -> Answer {
        let stream = self.streams.remove(name).ok_or_else(Refusal::no_stream)?;
        stream.consumers.into_values().for_each(|consumer| consumer.end(with.turn));
        tell(name, "DELETED", "delete", with);
        Ok(success())
    }

    pub(super) fn purge_stream(&mut self, name: &str, with: &Call<'_>) -> Answer {
        let stream = self.stream(name)?;
        let purge: Purge = read(with.body)?;
        let purged = stream.purge(&purge)?;
        Ok(fields(json!({ "success": true, "purged": purged })))
    }
}

fn tell(stream: &str, subject: &str, action: &str, with: &mut Call<'_>) {
    let (subject, more) = (&*format!("STREAM.{subject}"), json!({ "action": action }));
    let advisory = Advisory { subject, kind: "stream_action", stream, consumer: None, more };
    advisory.send(with.turn);
}
