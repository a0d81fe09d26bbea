//! Lists, of which an answer has a part.

use jetlane_proto::SubjectFilter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Call, fields, read};
use crate::jetstream::JetStream;
use crate::jetstream::error::Refusal;
use crate::jetstream::stream::Stream;
use crate::subjects::overlap;

const NAMES: usize = 1024;
const INFOS: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    offset: usize,
    subject: String,
}

impl JetStream {
    pub(super) fn stream_names(&self, with: &Call<'_>) -> Answer {
        let ask: Ask = read(with.body)?;
        let found = self.storing(&ask)?;
        let names = found.iter().map(|stream| Value::from(&*stream.name));
        let mut page = page("streams", &ask, NAMES, names);
        if found.is_empty() {
            // As Go writes a list that was never begun.
            page.insert("streams".into(), Value::Null);
        }
        Ok(page)
    }

    pub(super) fn stream_list(&self, with: &Call<'_>) -> Answer {
        let ask: Ask = read(with.body)?;
        let found = self.storing(&ask)?;
        let infos = found.iter().map(|stream| Value::from(stream.info(with.turn.now)));
        Ok(page("streams", &ask, INFOS, infos))
    }

    pub(super) fn consumer_names(&mut self, stream: &str, with: &Call<'_>) -> Answer {
        let ask: Ask = read(with.body)?;
        let names = self.stream(stream)?.consumers.keys().map(|name| Value::from(&**name));
        Ok(page("consumers", &ask, NAMES, names))
    }

    pub(super) fn consumer_list(&mut self, stream: &str, with: &mut Call<'_>) -> Answer {
        let ask: Ask = read(with.body)?;
        let (routes, turn) = (with.routes, &mut *with.turn);
        let consumers = self.stream(stream)?.consumers.values_mut();
        let infos = consumers.map(|consumer| Value::from(consumer.info(routes, turn)));
        Ok(page("consumers", &ask, INFOS, infos))
    }

    /// The streams that store something of the subject asked for; all, if none was.
    fn storing(&self, ask: &Ask) -> Result<Vec<&Stream>, Refusal> {
        if !ask.subject.is_empty() && SubjectFilter::new(&ask.subject).is_err() {
            return Err(Refusal::bad_request());
        }
        let stores = |stream: &&Stream| {
            let mut subjects = stream.config.subjects.iter();
            ask.subject.is_empty() || subjects.any(|subject| overlap(subject, &ask.subject))
        };
        Ok(self.streams.values().filter(stores).collect())
    }
}

fn page(
    name: &str,
    ask: &Ask,
    limit: usize,
    all: impl ExactSizeIterator<Item = Value>,
) -> Map<String, Value> {
    let total = all.len();
    let offset = ask.offset.min(total);
    let entries: Vec<Value> = all.skip(offset).take(limit).collect();
    let mut page = fields(json!({ "total": total, "offset": offset, "limit": limit }));
    page.insert(name.into(), entries.into());
    page
}
