use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ApiCall, JetStream};

/// The subjects of the messages that a stream holds, or a page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSubjects {
    /// Each subject, and how many messages it has.
    pub subjects: BTreeMap<String, u64>,
    /// How many subjects there are in all that the filter stands for.
    pub total: u64,
}

impl JetStream {
    /// Which subjects the messages of a stream have, of those that `filter` stands for (wildcards allowed; `>` for all). The
    /// server (2.15) tells 100 000 at a time, from the one at `offset` on (`STREAM.INFO` with `subjects_filter`).
    pub fn stream_subjects(
        &self,
        stream: &str,
        filter: &str,
        offset: u64,
    ) -> ApiCall<StreamSubjects> {
        #[derive(Serialize)]
        struct Ask<'a> {
            subjects_filter: &'a str,
            offset: u64,
        }
        self.stream_call("INFO", stream, &Ask { subjects_filter: filter, offset })
    }
}

impl<'de> Deserialize<'de> for StreamSubjects {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            total: u64,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            // Left out, or null, where there is none.
            #[serde(default)]
            subjects: Option<BTreeMap<String, u64>>,
        }
        let Info { total, state } = Info::deserialize(deserializer)?;
        Ok(Self { subjects: state.subjects.unwrap_or_default(), total })
    }
}
