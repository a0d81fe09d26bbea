//! What is last on a subject, as the stream's leader knows. Nobody waits for an answer: a stream that gives none holds up nobody else.

use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use jetlane::jetstream::{
    ApiCall, ApiError, Flight, Get, JetStream, StoredMessage, StreamNames, TryTake,
};

use super::lines::topic;
use crate::bell::Bell;

/// Asks streams for the last messages of subjects; `T` is what they are asked for.
pub(crate) struct Lookup<T> {
    js: JetStream,
    /// The stream of each topic.
    streams: HashMap<String, String>,
    /// Those that wait until the stream of their topic is known.
    unnamed: HashMap<String, Vec<Place>>,
    flight: Flight<Call, About>,
    landed: Vec<(About, Answer)>,
    count: u64,
    inquiries: HashMap<u64, Inquiry<T>>,
    /// Inquiries of which all subjects are answered.
    done: Vec<u64>,
}

/// The last message of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// 0 if there is none.
    pub(crate) sequence: u64,
    /// Its `Nats-Msg-Id`.
    pub(crate) id: Option<String>,
}

/// What is last on each subject that was asked for; of those that were not answered, why not. A subject without a stream has no message.
pub(crate) type Answers = Vec<Result<Last, ApiError>>;

/// Subjects that were asked for together.
struct Inquiry<T> {
    cargo: T,
    subjects: Vec<String>,
    answers: Vec<Option<Result<Last, ApiError>>>,
    missing: usize,
}

/// A subject of an inquiry.
#[derive(Clone, Copy)]
struct Place {
    inquiry: u64,
    at: usize,
}

/// What a call is about.
enum About {
    Topic(String),
    Subject(Place),
}

enum Call {
    Names(ApiCall<StreamNames>),
    Message(ApiCall<StoredMessage>),
}

enum Answer {
    Names(Result<StreamNames, ApiError>),
    Message(Result<StoredMessage, ApiError>),
}

impl<T> Lookup<T> {
    pub(crate) fn new(js: JetStream, bell: Arc<Bell>) -> Self {
        Self {
            js: js.impatient(),
            streams: HashMap::new(),
            unnamed: HashMap::new(),
            flight: Flight::new(move || bell.ring()),
            landed: Vec::new(),
            count: 0,
            inquiries: HashMap::new(),
            done: Vec::new(),
        }
    }

    /// How many inquiries are not answered yet.
    pub(crate) fn len(&self) -> usize {
        self.inquiries.len()
    }

    /// How many subjects are asked for.
    pub(crate) fn subjects(&self) -> usize {
        self.inquiries.values().map(|inquiry| inquiry.missing).sum()
    }

    /// What is asked for.
    pub(crate) fn cargos(&self) -> impl Iterator<Item = &T> {
        self.inquiries.values().map(|inquiry| &inquiry.cargo)
    }

    /// The topic may be in another stream by now.
    pub(crate) fn forget_stream(&mut self, topic: &str) {
        self.streams.remove(topic);
    }

    /// Asks what is last on each of these subjects, of which there is at least one, all at once. The bell rings when the answer may be there.
    pub(crate) fn ask(&mut self, subjects: Vec<String>, cargo: T) {
        self.count += 1;
        let inquiry = self.count;
        let answers = subjects.iter().map(|_| None).collect();
        let missing = subjects.len();
        let places = (0..missing).map(|at| Place { inquiry, at });
        self.inquiries.insert(inquiry, Inquiry { cargo, subjects, answers, missing });
        places.for_each(|place| self.ask_for(place));
    }

    fn ask_for(&mut self, place: Place) {
        let Some(inquiry) = self.inquiries.get(&place.inquiry) else { return };
        let subject = &*inquiry.subjects[place.at];
        let topic = topic(subject);
        if let Some(stream) = self.streams.get(topic) {
            let call = self.js.get_message(stream, Get::Last(subject));
            self.flight.launch(Call::Message(call), About::Subject(place));
        } else if let Some(others) = self.unnamed.get_mut(topic) {
            others.push(place);
        } else {
            let call = self.js.stream_names(subject);
            let topic = topic.to_owned();
            self.flight.launch(Call::Names(call), About::Topic(topic.clone()));
            self.unnamed.insert(topic, vec![place]);
        }
    }

    /// What was answered since the last time.
    pub(crate) fn land(&mut self) -> Vec<(T, Answers)> {
        let mut landed = mem::take(&mut self.landed);
        self.flight.land(&mut landed);
        for (about, answer) in landed.drain(..) {
            match (about, answer) {
                (About::Topic(topic), Answer::Names(names)) => self.named(topic, names),
                (About::Subject(place), Answer::Message(message)) => self.answered(place, message),
                _ => {}
            }
        }
        self.landed = landed;
        let done = self.done.drain(..).filter_map(|inquiry| self.inquiries.remove(&inquiry));
        done.map(|Inquiry { cargo, answers, .. }| (cargo, answers.into_iter().flatten().collect()))
            .collect()
    }

    fn named(&mut self, topic: String, names: Result<StreamNames, ApiError>) {
        let waiting = self.unnamed.remove(&topic).unwrap_or_default();
        match names.map(|names| names.streams.into_iter().flatten().next()) {
            Ok(Some(stream)) => {
                self.streams.insert(topic, stream);
                waiting.into_iter().for_each(|place| self.ask_for(place));
            }
            Ok(None) => {
                waiting.into_iter().for_each(|place| self.note(place, Ok(Last::default())));
            }
            Err(error) => {
                waiting.into_iter().for_each(|place| self.note(place, Err(error.clone())));
            }
        }
    }

    fn answered(&mut self, place: Place, message: Result<StoredMessage, ApiError>) {
        let last = match message {
            Ok(message) => {
                let id = message.headers().and_then(|headers| headers.get("Nats-Msg-Id"));
                let id = id.map(|id| String::from_utf8_lossy(id).into_owned());
                Ok(Last { sequence: message.sequence, id })
            }
            Err(ApiError::MessageNotFound { .. }) => Ok(Last::default()),
            Err(error) => {
                if let ApiError::StreamNotFound { stream } = &error {
                    self.streams.retain(|_, known| known != stream);
                }
                Err(error)
            }
        };
        self.note(place, last);
    }

    fn note(&mut self, place: Place, last: Result<Last, ApiError>) {
        if let Some(inquiry) = self.inquiries.get_mut(&place.inquiry) {
            inquiry.answers[place.at] = Some(last);
            inquiry.missing -= 1;
            if inquiry.missing == 0 {
                self.done.push(place.inquiry);
            }
        }
    }
}

/// Whether a question was not even sent, as there was no room for it.
pub(crate) fn is_unsent(error: &ApiError) -> bool {
    use jetlane::client::{PublishError, RequestError};
    let ApiError::Request(error) = error else { return false };
    match error {
        RequestError::TooMany => true,
        RequestError::Publish(error) => {
            matches!(error, PublishError::Full | PublishError::Disconnected)
        }
        _ => false,
    }
}

impl TryTake for Call {
    fn try_take(&mut self) -> Option<Answer> {
        match self {
            Self::Names(call) => call.try_take().map(Answer::Names),
            Self::Message(call) => call.try_take().map(Answer::Message),
        }
    }
}

impl Future for Call {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match self.get_mut() {
            Self::Names(call) => Pin::new(call).poll(context).map(Answer::Names),
            Self::Message(call) => Pin::new(call).poll(context).map(Answer::Message),
        }
    }
}
