use data_encoding::BASE64;
use jetlane_proto::SubjectFilter;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Call, fields, read, success};
use crate::jetstream::JetStream;
use crate::jetstream::error::Refusal;
use crate::jetstream::store::{Store, Stored};

/// Which message is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    no_hdr: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Delete {
    seq: u64,
    /// Not to overwrite it on the disk, which there is none of.
    #[serde(rename = "no_erase")]
    _no_erase: bool,
}

impl JetStream {
    pub(super) fn get_message(&mut self, stream: &str, with: &Call<'_>) -> Answer {
        let stream = self.stream(stream)?;
        let ask: Ask = read(with.body)?;
        let (sequence, stored) = ask.find(&stream.store)?.ok_or_else(Refusal::no_message)?;
        let mut message = json!({
            "subject": &*stored.subject,
            "seq": sequence,
            "time": stored.time.text(),
        });
        let headers = if ask.no_hdr { &[][..] } else { stored.content.headers() };
        let parts = [("hdrs", headers), ("data", stored.content.payload())];
        for (name, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            message[name] = BASE64.encode(part).into();
        }
        Ok(fields(json!({ "message": message })))
    }

    pub(super) fn delete_message(&mut self, stream: &str, with: &Call<'_>) -> Answer {
        let stream = self.stream(stream)?;
        let Delete { seq, .. } = read(with.body)?;
        if stream.config.sealed {
            return Err(Refusal::sealed());
        }
        if stream.config.deny_delete {
            return Err(Refusal::new(500, 10057, "message delete not permitted"));
        }
        let gone = || Refusal::new(400, 10043, format!("sequence {seq} not found"));
        stream.remove(seq).ok_or_else(gone)?;
        Ok(success())
    }
}

impl Ask {
    fn find<'a>(&self, store: &'a Store) -> Result<Option<(u64, &'a Stored)>, Refusal> {
        let filter = |text: &str| SubjectFilter::new(text).map_err(|_| Refusal::bad_request());
        match (self.seq, self.last_by_subj.as_str(), self.next_by_subj.as_str()) {
            (0, "", "") => Err(Refusal::bad_request()),
            (sequence, "", "") => Ok(store.get(sequence).map(|stored| (sequence, stored))),
            (0, last, "") => Ok(store.last_of(&[filter(last)?])),
            (from, "", next) => Ok(store.next(&[filter(next)?], from)),
            _ => Err(Refusal::bad_request()),
        }
    }
}
