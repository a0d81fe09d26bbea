use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use jetlane_client::proto::SubjectError;
use jetlane_client::{HeaderView, Message, SubjectFilter};
use jetlane_jetstream::Held;

use super::around::{Arounds, OnEnvelope};
use crate::seeing::{self, Meters};
use crate::topic::covers;
use crate::{Envelope, EnvelopeError, IntoVerdict, Verdict};

/// A message as it is, for handlers of [`crate::Subscribe::on_raw`] and [`crate::Listen::on_raw`].
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    message: &'a Message,
    sequence: u64,
    delivered: u64,
    /// In nanoseconds since 1970; `None` if it was not stored, or nobody says when.
    stored_ns: Option<u64>,
}

impl<'a> RawEvent<'a> {
    /// One that a consumer has delivered.
    #[inline]
    pub(super) fn delivered_by(held: &'a Held) -> Self {
        let Held { message, delivery, .. } = held;
        let (sequence, delivered) = (delivery.stream_sequence, delivery.delivered);
        Self { message, sequence, delivered, stored_ns: Some(delivery.timestamp_ns) }
    }

    /// One that was heard as it was published.
    #[inline]
    pub(crate) fn heard(message: &'a Message) -> Self {
        Self { message, sequence: 0, delivered: 1, stored_ns: None }
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

    /// Its place in the stream; 0 for one that came to a listener ([`crate::EventBus::listen`]), which no stream has delivered.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many times the server has delivered it, this time included.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// When the stream stored it, by the server's clock; `None` for one that came to a listener.
    pub fn stored_at(&self) -> Option<SystemTime> {
        self.stored_ns.map(|nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))
    }

    /// The event that it is, as [`Envelope::read`] reads it.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is none.
    pub fn read(&self) -> Result<Envelope, EnvelopeError> {
        Envelope::read(self.message)
    }
}

type OnRaw = dyn Fn(&RawEvent<'_>) -> Verdict + Send + Sync;

/// Gets the events, and how many bytes the payload of each may become.
pub(super) type OnBatch = dyn Fn(&[RawEvent<'_>], usize) -> Verdict + Send + Sync;

pub(crate) enum Handler {
    /// For events of any type.
    Envelope(Box<OnEnvelope>),
    /// For events of this type.
    Typed(String, Box<OnEnvelope>),
    Raw(Box<OnRaw>),
    /// For so many events of one key at once, at most.
    Batch(NonZeroUsize, Box<OnBatch>),
}

impl Handler {
    pub(crate) fn envelope<R: IntoVerdict>(
        handler: impl Fn(&Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::Envelope(Box::new(move |event| handler(event).into_verdict()))
    }

    pub(crate) fn typed<R: IntoVerdict>(
        event_type: &str,
        handler: impl Fn(&Envelope) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::Typed(event_type.into(), Box::new(move |event| handler(event).into_verdict()))
    }

    pub(crate) fn raw<R: IntoVerdict>(
        handler: impl Fn(&RawEvent<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::Raw(Box::new(move |event| handler(event).into_verdict()))
    }

    pub(super) fn batch<R: IntoVerdict>(
        most: NonZeroUsize,
        handler: impl Fn(&[Envelope]) -> R + Send + Sync + 'static,
    ) -> Self {
        let read = |events: &[RawEvent<'_>], most| -> Result<Vec<_>, _> {
            events.iter().map(|event| Envelope::read_up_to(event.message, most)).collect()
        };
        let on_batch = move |events: &[RawEvent<'_>], most| match read(events, most) {
            Ok(events) => handler(&events).into_verdict(),
            // Of several, one by one shows which one it is.
            Err(error) => Verdict::Reject { reason: error.to_string() },
        };
        Self::Batch(most, Box::new(on_batch))
    }

    pub(super) fn raw_batch<R: IntoVerdict>(
        most: NonZeroUsize,
        handler: impl Fn(&[RawEvent<'_>]) -> R + Send + Sync + 'static,
    ) -> Self {
        Self::Batch(most, Box::new(move |events, _| handler(events).into_verdict()))
    }
}

/// What is done with events that come by one name: handlers by topic, and what runs around them.
pub(crate) struct Handlers {
    name: String,
    routes: Vec<(SubjectFilter, Handler)>,
    has_batches: bool,
    arounds: Arounds,
    /// Most bytes that a compressed payload may become.
    decompress_up_to: usize,
}

/// A topic that is no subject.
pub(crate) struct WrongTopic {
    pub(crate) topic: String,
    pub(crate) source: SubjectError,
}

/// What came of an event.
pub(crate) enum Handled<'a> {
    With(Verdict),
    /// It is for this handler of batches.
    Batch(&'a OnBatch),
    /// Its topic is ours, and its type is nobody's here.
    OtherType,
    /// Its topic is nobody's here, as that of an event which was on its way when the subscription changed.
    OtherTopic,
}

impl Handlers {
    pub(crate) fn new(
        name: &str,
        handlers: Vec<(String, Handler)>,
        arounds: Arounds,
        decompress_up_to: usize,
    ) -> Result<Self, WrongTopic> {
        let routes =
            handlers.into_iter().map(|(topic, handler)| match SubjectFilter::new(&topic) {
                Ok(filter) => Ok((filter, handler)),
                Err(source) => Err(WrongTopic { topic, source }),
            });
        let routes: Vec<_> = routes.collect::<Result<_, _>>()?;
        let has_batches = routes.iter().any(|(_, route)| matches!(route, Handler::Batch(..)));
        Ok(Self { name: name.into(), routes, has_batches, arounds, decompress_up_to })
    }

    fn read(&self, message: &Message) -> Result<Envelope, EnvelopeError> {
        Envelope::read_up_to(message, self.decompress_up_to)
    }

    pub(super) fn decompress_up_to(&self) -> usize {
        self.decompress_up_to
    }

    /// Handles an event, unless nobody here is for it.
    #[inline]
    pub(crate) fn handle(&self, event: &RawEvent<'_>, meters: &Meters) -> Handled<'_> {
        let mut envelope = None;
        let mut found = false;
        for handler in self.find(event.subject()) {
            found = true;
            let (wanted, handler) = match handler {
                Handler::Raw(handler) => {
                    let _span = seeing::enter_raw(&self.name, event);
                    let _time = meters.begin(event.stored_ns);
                    return Handled::With(handler(event));
                }
                Handler::Batch(_, handler) => return Handled::Batch(&**handler),
                Handler::Envelope(handler) => (None, handler),
                Handler::Typed(wanted, handler) => (Some(wanted), handler),
            };
            let read = match envelope.get_or_insert_with(|| self.read(event.message)) {
                Ok(read) => read,
                Err(error) => return Handled::With(Verdict::Reject { reason: error.to_string() }),
            };
            if wanted.is_none_or(|wanted| wanted == read.event_type()) {
                let _span = seeing::enter(&self.name, event, read);
                let _time = meters.begin(event.stored_ns);
                return Handled::With(self.arounds.run(&**handler, read));
            }
        }
        if found { Handled::OtherType } else { Handled::OtherTopic }
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
    fn find(&self, subject: &[u8]) -> impl Iterator<Item = &Handler> {
        let matches = move |filter: &SubjectFilter| {
            filter.as_str().as_bytes() == subject || filter.matches(subject)
        };
        let routes = self.routes.iter().filter(move |(filter, _)| matches(filter));
        routes.map(|(_, handler)| handler)
    }
}

/// The topics, each once, and without those that others stand for.
pub(crate) fn filters(handlers: &[(String, Handler)]) -> Vec<String> {
    let mut filters: Vec<String> = Vec::new();
    for (topic, _) in handlers {
        if !filters.iter().any(|filter| covers(filter, topic)) {
            filters.retain(|filter| !covers(topic, filter));
            filters.push(topic.clone());
        }
    }
    filters
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(filter, _)| filter)).finish()
    }
}
