use jetlane_proto::SubjectFilter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Stream;
use crate::clock::{Now, text_of};

/// Most subjects, or deleted sequences, that are told in one answer.
const MOST_DETAILS: usize = 100_000;

/// What is asked about a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::jetstream) struct InfoRequest {
    subjects_filter: String,
    deleted_details: bool,
    offset: usize,
}

impl Stream {
    pub(in crate::jetstream) fn info(&self, now: Now) -> Map<String, Value> {
        let mut info = Map::new();
        info.insert("config".into(), serde_json::to_value(&self.config).unwrap_or_default());
        info.insert("created".into(), self.created.text().into());
        info.insert("state".into(), self.state());
        info.insert("ts".into(), now.wall.text().into());
        info
    }

    /// The same with the details that were asked for.
    pub(in crate::jetstream) fn full_info(
        &self,
        ask: &InfoRequest,
        now: Now,
    ) -> Map<String, Value> {
        let mut info = self.info(now);
        let mut paging = [0, 0, 0];
        let Some(state) = info.get_mut("state").and_then(Value::as_object_mut) else {
            return info;
        };
        if ask.deleted_details {
            let deleted: Vec<u64> = self.store.deleted().take(MOST_DETAILS).collect();
            if !deleted.is_empty() {
                state.insert("deleted".into(), deleted.into());
            }
        }
        if let Ok(filter) = SubjectFilter::new(&ask.subjects_filter) {
            let subjects = self.store.subjects(&filter);
            if !subjects.is_empty() {
                paging = [subjects.len(), ask.offset, MOST_DETAILS];
                let page = subjects.into_iter().skip(ask.offset).take(MOST_DETAILS);
                let page: Map<String, Value> =
                    page.map(|(subject, count)| (subject.into(), count.into())).collect();
                state.insert("subjects".into(), page.into());
            }
        }
        for (name, number) in ["total", "offset", "limit"].into_iter().zip(paging) {
            info.insert(name.into(), number.into());
        }
        info
    }

    fn state(&self) -> Value {
        let store = &self.store;
        let first = store.first();
        let mut state = json!({
            "messages": store.messages(),
            "bytes": store.bytes(),
            "first_seq": store.first_sequence(),
            "first_ts": text_of(first.map(|(_, stored)| stored.time)),
            "last_seq": store.last_sequence(),
            "last_ts": text_of(store.last_time()),
            "consumer_count": self.consumers.len(),
        });
        let all = (store.last_sequence() + 1).saturating_sub(store.first_sequence());
        let deleted = if store.first_sequence() == 0 { 0 } else { all - store.messages() };
        let rest = [("num_subjects", store.num_subjects() as u64), ("num_deleted", deleted)];
        // A nats-server leaves out zeros here, and only here.
        for (name, number) in rest.into_iter().filter(|&(_, number)| number > 0) {
            state[name] = number.into();
        }
        state
    }
}
