//! Letters: events that a subscription could not handle, on their way out of it with their history, and back again.

pub(crate) mod header;
mod letter;
mod pick;
mod plan;
pub(crate) mod redrive;
pub(crate) mod token;

use std::fmt;

use jetlane_client::SubjectFilter;
use jetlane_client::proto::SubjectError;
use jetlane_jetstream::{ApiError, Get, NotStored, PublishError};

use crate::EventBus;

pub use letter::{Letter, LetterKind};
pub use pick::Pick;
pub use plan::{RedrivePlan, Redriven};
pub use token::key_token;

/// Why letters can not be read or redriven. What was done before stays done; to do it again is safe, as it goes on where it stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LettersError {
    /// What letters are kept under is no subject. The caller's fault.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// No stream stores letters there.
    #[error("no stream stores {topic:?}: letters are kept under another subject, or were never")]
    NoStream {
        /// The topic.
        topic: String,
    },
    /// The server refused, or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The event could not be published again.
    #[error("the event at {sequence} of {stream:?} could not be published again: {error}")]
    Publish {
        /// The stream of letters.
        stream: String,
        /// The letter's place there.
        sequence: u64,
        /// Why not.
        error: PublishError,
    },
    /// The event may not be stored again.
    #[error("the event at {sequence} of {stream:?} was not stored again: {error}")]
    NotStored {
        /// The stream of letters.
        stream: String,
        /// The letter's place there.
        sequence: u64,
        /// Why not.
        error: NotStored,
    },
}

/// The letters below a subject: dead ones and parked ones. See [`EventBus::letters`].
#[derive(Clone)]
pub struct Letters {
    bus: EventBus,
    stream: String,
    filter: String,
}

impl EventBus {
    /// The letters that subscriptions have written below `subject`: that which was given to [`crate::DeadLetters::to`] or
    /// [`crate::Parking::to`].
    ///
    /// ```
    /// # use jetlane::{EventBus, Strategy};
    /// # let server = jetlane_testkit::Server::start()?;
    /// # let bus = EventBus::connect(&server.url())?;
    /// use jetlane::Pick;
    /// bus.topic("dead.>").ensure(Strategy::CreateOnly)?;
    /// let letters = bus.letters("dead")?;
    /// let plan = letters.plan(&Pick::all().subscription("billing").reason("timeout"))?;
    /// println!("{plan}"); // a dry run: nothing is done before `run`
    /// let redriven = plan.run()?;
    /// assert_eq!(redriven.events, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LettersError`] if no stream stores them. Blocks for the API timeout at most.
    pub fn letters(&self, subject: &str) -> Result<Letters, LettersError> {
        let filter = format!("{subject}.>");
        SubjectFilter::new(&filter)?;
        let streams = self.jetstream().stream_names(&filter).wait()?.streams;
        let stream = streams.and_then(|streams| streams.into_iter().next());
        let stream = stream.ok_or_else(|| LettersError::NoStream { topic: filter.clone() })?;
        Ok(Letters { bus: self.clone(), stream, filter })
    }
}

impl Letters {
    /// Those that `pick` says, the oldest first; one request each. What is no letter is passed over. It ends behind the first error.
    pub fn read(&self, pick: &Pick) -> impl Iterator<Item = Result<Letter, LettersError>> {
        let mut next = Some(1);
        let all = std::iter::from_fn(move || {
            let sequence = next?;
            let get = Get::Next { subject: &self.filter, sequence };
            match self.bus.jetstream().get_message(&self.stream, get).wait() {
                Ok(message) => {
                    next = message.sequence.checked_add(1);
                    Some(Ok(message))
                }
                Err(ApiError::MessageNotFound { .. }) => None,
                Err(error) => {
                    next = None;
                    Some(Err(LettersError::from(error)))
                }
            }
        });
        let letters = all.filter_map(|message| message.map(Letter::read).transpose());
        letters.filter(|letter| letter.as_ref().map_or(true, |letter| pick.takes(letter)))
    }

    /// What redriving those that `pick` says would do. Of a parked aggregate all events are redriven if one of them is picked, as its
    /// order would be lost otherwise. Changes nothing.
    ///
    /// # Errors
    /// [`LettersError`] if they can not be read.
    pub fn plan(&self, pick: &Pick) -> Result<RedrivePlan, LettersError> {
        RedrivePlan::make(self, pick)
    }

    /// Deletes one letter for good: its event will not be redriven. Of a parked aggregate the later ones stay parked.
    ///
    /// # Errors
    /// [`LettersError::Api`] if the server refuses.
    pub fn delete(&self, letter: &Letter) -> Result<(), LettersError> {
        match self.bus.jetstream().delete_message(&self.stream, letter.sequence).wait() {
            // Somebody else was faster.
            Ok(_) | Err(ApiError::MessageNotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The stream that they are in.
    pub fn stream(&self) -> &str {
        &self.stream
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, filter, .. } = self;
        f.debug_struct("Letters").field("stream", stream).field("filter", filter).finish()
    }
}
