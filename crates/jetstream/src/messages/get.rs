use jetlane_client::Request;
use serde::Serialize;

use super::StoredMessage;
use crate::error::Names;
use crate::{ApiCall, ApiError, Deleted, JetStream};

/// Which message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Get<'a> {
    /// The one with this sequence.
    Sequence(u64),
    /// The newest one of this subject (wildcards allowed).
    Last(&'a str),
    /// The first one of this subject (wildcards allowed) that has this sequence or a higher one.
    Next {
        /// The subject.
        subject: &'a str,
        /// The sequence.
        sequence: u64,
    },
}

/// [`Get`] as it is sent.
#[derive(Default, Serialize)]
struct Ask<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
}

impl<'a> From<Get<'a>> for Ask<'a> {
    fn from(get: Get<'a>) -> Self {
        match get {
            Get::Sequence(sequence) => Self { seq: Some(sequence), ..Self::default() },
            Get::Last(subject) => Self { last_by_subj: Some(subject), ..Self::default() },
            Get::Next { subject, sequence } => {
                Self { seq: Some(sequence), next_by_subj: Some(subject), last_by_subj: None }
            }
        }
    }
}

impl JetStream {
    /// A message of a stream, from the stream's leader: it sees every message that was stored before (`STREAM.MSG.GET`, ADR-1).
    /// [`ApiError::MessageNotFound`] if there is no such message.
    pub fn get_message(&self, stream: &str, get: Get<'_>) -> ApiCall<StoredMessage> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let names = Names { stream: stream.into(), ..Names::default() };
        let request = self.ask(&subject, &Ask::from(get), &[stream]);
        ApiCall::reading(request, names, StoredMessage::read_api)
    }

    /// A message of a stream that allows direct gets, from any server that keeps it: cheaper for the servers, but one that lags may not
    /// have it yet (`DIRECT.GET`, ADR-31, server 2.9). [`ApiError::MessageNotFound`] if there is no such message,
    /// [`ApiError::NoDirectGet`] if the stream does not allow it.
    pub fn direct_get(&self, stream: &str, get: Get<'_>) -> ApiCall<StoredMessage> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let names = Names { stream: stream.into(), ..Names::default() };
        let request: Result<Request, ApiError> = self.ask(&subject, &Ask::from(get), &[stream]);
        ApiCall::reading(request, names, StoredMessage::read_direct)
            .unheard(|names| ApiError::NoDirectGet { stream: names.stream.clone() })
    }

    /// Deletes a message: it can not be read any more, but its bytes may stay on disk for a while (`STREAM.MSG.DELETE`, ADR-1).
    pub fn delete_message(&self, stream: &str, sequence: u64) -> ApiCall<Deleted> {
        let ask = Delete { seq: sequence, no_erase: true };
        self.stream_call("MSG.DELETE", stream, &ask)
    }

    /// Deletes a message, and overwrites its bytes on disk: slower (`STREAM.MSG.DELETE`, ADR-1).
    pub fn erase_message(&self, stream: &str, sequence: u64) -> ApiCall<Deleted> {
        let ask = Delete { seq: sequence, no_erase: false };
        self.stream_call("MSG.DELETE", stream, &ask)
    }
}

#[derive(Serialize)]
struct Delete {
    seq: u64,
    no_erase: bool,
}
