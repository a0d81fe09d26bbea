//! Many messages for one request (ADR-31, server 2.11).

use jetlane_client::proto::check_name;
use jetlane_client::{CloseReason, Message, Replies, RequestError};
use serde::Serialize;

use super::StoredMessage;
use super::stored::server_header;
use crate::api::malformed;
use crate::error::Names;
use crate::{ApiError, JetStream};

/// Which messages a batched direct get reads, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BatchGet {
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    next_by_subj: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    multi_last: Vec<String>,
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    batch: usize,
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    max_bytes: u64,
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    up_to_seq: u64,
}

impl BatchGet {
    /// Up to `most` messages of `subject` (wildcards allowed), in order, from `sequence` on.
    pub fn next(subject: impl Into<String>, sequence: u64, most: usize) -> Self {
        // Sequences begin at 1; and without one the server would take the request for an empty one.
        Self { seq: sequence.max(1), next_by_subj: subject.into(), batch: most, ..Self::default() }
    }

    /// The newest message of each subject that one of `subjects` (wildcards allowed) stands for: of 1024 subjects at most.
    pub fn last<S: Into<String>>(subjects: impl IntoIterator<Item = S>) -> Self {
        Self { multi_last: subjects.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Ends before there are more bytes than that.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// With [`BatchGet::last`]: as it was when `sequence` was the newest message.
    #[must_use]
    pub fn up_to(mut self, sequence: u64) -> Self {
        self.up_to_seq = sequence;
        self
    }
}

impl JetStream {
    /// Messages of a stream that allows direct gets, as they come (`DIRECT.GET` with a batch, ADR-31, server 2.11). All have to come
    /// within the API timeout, and fit the limits of a subscription's queue: if one is lost, the iterator says so.
    ///
    /// # Errors
    /// [`ApiError`] if the request could not be sent.
    pub fn direct_get_batch(
        &self,
        stream: &str,
        get: &BatchGet,
    ) -> Result<BatchMessages, ApiError> {
        check_name(stream)?;
        let body = serde_json::to_vec(get).map_err(malformed)?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let request = self.client().request_many(&subject, &body);
        let replies =
            request.timeout(self.options().api_timeout).send().map_err(ApiError::Request)?;
        let names = Names { stream: stream.into(), ..Names::default() };
        Ok(BatchMessages { replies, names, last: None, is_over: false })
    }
}

/// The messages of a batched direct get. It ends with the last one, or with an error.
#[derive(Debug)]
pub struct BatchMessages {
    replies: Replies,
    names: Names,
    /// The sequence of the message before.
    last: Option<u64>,
    is_over: bool,
}

impl BatchMessages {
    fn read(&mut self, reply: Option<Message>) -> Option<Result<StoredMessage, ApiError>> {
        let Some(reply) = reply else {
            self.is_over = true;
            return Some(Err(self.cut_short()));
        };
        let status = reply.headers().and_then(|headers| headers.status());
        if status.is_some_and(|status| status.code == 204) {
            self.is_over = true;
            return self.check_order(&reply).err().map(Err);
        }
        let message =
            self.check_order(&reply).and_then(|()| StoredMessage::read_direct(&reply, &self.names));
        match &message {
            Ok(message) => self.last = Some(message.sequence),
            Err(_) => self.is_over = true,
        }
        Some(message)
    }

    /// Each reply tells the sequence of the one before: so that none is lost in silence.
    fn check_order(&self, reply: &Message) -> Result<(), ApiError> {
        let (Some(last), Some(headers)) = (self.last, reply.headers()) else { return Ok(()) };
        let Ok(before) = server_header(headers, "Nats-Last-Sequence") else { return Ok(()) };
        match before == last.to_string() {
            true => Ok(()),
            false => Err(malformed(format_args!("the message {before} of the batch was lost"))),
        }
    }

    fn cut_short(&self) -> ApiError {
        ApiError::Request(match self.replies.close_reason() {
            Some(CloseReason::NoResponders) => {
                return ApiError::NoDirectGet { stream: self.names.stream.clone() };
            }
            Some(CloseReason::Disconnected) => RequestError::Disconnected,
            Some(CloseReason::TimedOut) | None => RequestError::TimedOut,
            Some(_) => RequestError::Closed,
        })
    }
}

impl Iterator for BatchMessages {
    type Item = Result<StoredMessage, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let reply = self.replies.next();
        self.read(reply)
    }
}
