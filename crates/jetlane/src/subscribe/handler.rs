use std::fmt;
use std::num::NonZeroUsize;

use jetlane_client::{HeaderView, Message, SubjectFilter};

use super::SubscribeError;
use super::around::OnEnvelope;
use crate::{Envelope, Verdict};

/// A message as it is, for handlers of [`super::Subscribe::on_raw`].
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    message: &'a Message,
    sequence: u64,
    delivered: u64,
}

impl<'a> RawEvent<'a> {
    pub(super) fn new(message: &'a Message, sequence: u64, delivered: u64) -> Self {
        Self { message, sequence, delivered }
    }

    /// The subject it was published to; usually UTF-8.
    pub fn subject(&self) -> &'a [u8] {
        self.message.subject_bytes()
    }

    /// Its headers, if it has any.
    pub fn headers(&self) -> Option<HeaderView<'a>> {
        self.message.headers()
    }

    /// Its payload, as it is on the wire: compressed, if the header `Content-Encoding` says so.
    pub fn payload(&self) -> &'a [u8] {
        self.message.payload()
    }

    /// Its place in the stream.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many times the server has delivered it, this time included.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }
}

pub(super) type OnRaw = dyn Fn(&RawEvent<'_>) -> Verdict + Send + Sync;

pub(super) type OnBatch = dyn Fn(&[Envelope]) -> Verdict + Send + Sync;

pub(super) enum Handler {
    /// For events of any type.
    Envelope(Box<OnEnvelope>),
    /// For events of this type.
    Typed(String, Box<OnEnvelope>),
    Raw(Box<OnRaw>),
    /// For so many events of one key at once, at most.
    Batch(NonZeroUsize, Box<OnBatch>),
}

/// The handlers of a subscription, by topic.
pub(super) struct Handlers {
    routes: Vec<(SubjectFilter, Handler)>,
    has_batches: bool,
}

impl Handlers {
    pub(super) fn new(handlers: Vec<(String, Handler)>) -> Result<Self, SubscribeError> {
        let routes = handlers.into_iter().map(|(topic, handler)| {
            let filter = SubjectFilter::new(&topic)
                .map_err(|source| SubscribeError::Topic { topic, source })?;
            Ok((filter, handler))
        });
        let routes: Vec<_> = routes.collect::<Result<_, SubscribeError>>()?;
        let has_batches = routes.iter().any(|(_, route)| matches!(route, Handler::Batch(..)));
        Ok(Self { routes, has_batches })
    }

    /// Whether any of them handles several events at once.
    #[inline]
    pub(super) fn has_batches(&self) -> bool {
        self.has_batches
    }

    /// The place of the handler of batches that events of this subject go to, and how many it takes at once.
    pub(super) fn find_batch(&self, subject: &[u8]) -> Option<(usize, NonZeroUsize)> {
        let first = self.routes.iter().position(|(filter, _)| filter.matches(subject))?;
        match self.routes[first].1 {
            Handler::Batch(most, _) => Some((first, most)),
            _ => None,
        }
    }

    /// The handlers whose topics match, in the order in which they were given.
    #[inline]
    pub(super) fn find(&self, subject: &[u8]) -> impl Iterator<Item = &Handler> {
        let matches = move |filter: &SubjectFilter| {
            filter.as_str().as_bytes() == subject || filter.matches(subject)
        };
        let routes = self.routes.iter().filter(move |(filter, _)| matches(filter));
        routes.map(|(_, handler)| handler)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(filter, _)| filter)).finish()
    }
}
