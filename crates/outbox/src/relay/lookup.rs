//! What is last on a subject, as the stream's leader knows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jetlane::jetstream::{ApiError, Get, JetStream};

/// Asks streams for the last messages of subjects.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// The stream of each topic: a subject without its last token, which is the key.
    streams: HashMap<String, String>,
}

/// The last message of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// 0 if there is none.
    pub(crate) sequence: u64,
    /// Its `Nats-Msg-Id`.
    pub(crate) id: Option<String>,
}

impl Lookup {
    /// What is last on each of these subjects, all asked at once; of those that did not answer by `timeout`, why not. A subject without a stream has no
    /// message.
    pub(crate) fn last(
        &mut self,
        js: &JetStream,
        subjects: &[&str],
        timeout: Duration,
    ) -> Vec<Result<Last, ApiError>> {
        let deadline = Instant::now() + timeout;
        let mut calls = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let stream = self.stream(js, subject, deadline);
            calls
                .push(stream.map(|stream| {
                    stream.map(|stream| js.get_message(&stream, Get::Last(subject)))
                }));
        }
        let mut answers = Vec::with_capacity(subjects.len());
        for call in calls {
            answers.push(match call {
                Err(error) => Err(error),
                Ok(None) => Ok(Last::default()),
                Ok(Some(mut call)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    match call.wait_timeout(left) {
                        Some(Ok(message)) => Ok(Last {
                            sequence: message.sequence,
                            id: message.headers().and_then(|headers| {
                                let id = headers.get("Nats-Msg-Id")?;
                                Some(String::from_utf8_lossy(id).into_owned())
                            }),
                        }),
                        Some(Err(ApiError::MessageNotFound { .. })) => Ok(Last::default()),
                        Some(Err(error)) => {
                            if let ApiError::StreamNotFound { stream } = &error {
                                self.streams.retain(|_, known| known != stream);
                            }
                            Err(error)
                        }
                        None => Err(ApiError::Request(jetlane::client::RequestError::TimedOut)),
                    }
                }
            });
        }
        answers
    }

    fn stream(
        &mut self,
        js: &JetStream,
        subject: &str,
        deadline: Instant,
    ) -> Result<Option<String>, ApiError> {
        let topic = subject.rsplit_once('.').map_or(subject, |(topic, _)| topic);
        if let Some(stream) = self.streams.get(topic) {
            return Ok(Some(stream.clone()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let names = js.stream_names(subject).wait_timeout(left);
        let names =
            names.unwrap_or(Err(ApiError::Request(jetlane::client::RequestError::TimedOut)))?;
        let stream = names.streams.into_iter().flatten().next();
        if let Some(stream) = &stream {
            self.streams.insert(topic.to_owned(), stream.clone());
        }
        Ok(stream)
    }
}
