//! Acknowledged publishing: every message claims a slot of the pending ring, and its ack finds that slot by index.

mod ack_sink;
mod atomic;
mod batch;
mod flight;
#[cfg(test)]
mod flight_tests;
mod headers;
#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "meters_off.rs"]
mod meters;
mod outcome;
mod ticket;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jetlane_client::proto::{SubjectError, encode};
use jetlane_client::{AsSubject, Client, HeaderBlock, Inbox, SubmitError, SubscribeError, later};
use jetlane_ring::{Full, PendingRing, RingConfig};

use ack_sink::{AckSink, patience};
pub use atomic::{AtomicError, AtomicTicket, BatchNotStored, StoredBatch};
pub use batch::AtomicBatch;
pub use flight::{Flight, TryTake};
pub use headers::{PublishHeaders, Rollup};
use meters::Meters;
pub use outcome::{NotStored, Outcome, Rejection, Stored, Unknown};
pub use ticket::Ticket;

/// Why a message was not queued. Nothing of it was or will be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The connection could not take it: see there.
    #[error(transparent)]
    Client(#[from] jetlane_client::PublishError),
    /// As many publishes as `Limits::pending_acks` wait for their ack, and stayed so for `publish_wait` (with
    /// `try_publish`, and in callbacks on the reactor's own thread: do so now). The server is slower than the publishers.
    #[error(
        "{limit} publishes wait for their ack, the limit (pending_acks): the server is slower than what is published"
    )]
    Window {
        /// The limit.
        limit: u32,
    },
    /// The server does not permit this user to subscribe to the inbox that acks go to. The operator's to change, or the
    /// inbox prefix ([`jetlane_client::ConnectOptions::inbox_prefix`]).
    #[error("acks can not come: this user may not subscribe to {inbox:?}")]
    Denied {
        /// The inbox.
        inbox: String,
    },
    /// As many tickets as `Limits::tickets` exist whose outcome nobody has taken. The caller's fault.
    #[error("{limit} tickets exist, the limit: wait for tickets, or drop them")]
    Tickets {
        /// The limit.
        limit: u32,
    },
}

impl From<SubjectError> for PublishError {
    fn from(error: SubjectError) -> Self {
        Self::Client(error.into())
    }
}

/// Why an encoder put nothing into the write queue.
enum Refused {
    Denied,
    Full(Full),
    Client(jetlane_client::PublishError),
}

#[derive(Debug)]
pub(crate) struct Publisher {
    ring: Arc<PendingRing<Outcome>>,
    inbox: Inbox,
    /// No acks can come: the server does not permit the inbox.
    denied: Arc<AtomicBool>,
    patience: u32,
    /// What the ids of atomic batches begin with. They are stored with the messages: nothing of the inbox may be in them.
    batch_prefix: String,
    batches: AtomicU64,
    meters: Meters,
}

impl Publisher {
    pub(crate) fn new(client: &Client, timeout: Duration) -> Result<Self, SubscribeError> {
        let limits = client.limits();
        let (capacity, window) = (limits.tickets.min(Inbox::SLOTS), limits.pending_acks);
        let ring = PendingRing::new(RingConfig { capacity, window });
        let inbox = client.inbox();
        // The inbox lives as long as the connection: tickets may outlive whoever published.
        let denied = Arc::<AtomicBool>::default();
        let meters = Meters::new();
        let sink = AckSink::new(inbox, Arc::clone(&ring), Arc::clone(&denied), meters.clone());
        client.subscription(&inbox.filter()).sink(sink)?.forget();
        let batch_prefix = random_id(client);
        let batches = AtomicU64::new(0);
        let patience = patience(timeout);
        Ok(Self { ring, inbox, denied, patience, batch_prefix, batches, meters })
    }

    pub(crate) fn pending(&self) -> u32 {
        self.ring.in_flight()
    }

    #[inline]
    pub(crate) fn publish(
        &self,
        client: &Client,
        subject: &impl AsSubject,
        payload: &[u8],
    ) -> Result<Ticket, PublishError> {
        let subject = subject.as_subject()?.as_bytes();
        client.check_size(payload.len())?;
        self.submit(client, subject.len() + payload.len(), |out, reply| {
            encode::publish(out, subject, reply, payload);
            Ok(())
        })
    }

    #[inline]
    pub(crate) fn publish_with(
        &self,
        client: &Client,
        subject: &impl AsSubject,
        headers: &impl HeaderBlock,
        payload: &[u8],
    ) -> Result<Ticket, PublishError> {
        let subject = subject.as_subject()?.as_bytes();
        let size = headers.encoded_len() + payload.len();
        client.check_size(size)?;
        self.submit(client, subject.len() + size, |out, reply| {
            Ok(encode::publish_with_headers(out, subject, reply, headers, payload)?)
        })
    }

    #[inline]
    pub(crate) fn try_publish(
        &self,
        client: &Client,
        subject: &impl AsSubject,
        payload: &[u8],
    ) -> Result<Ticket, PublishError> {
        let subject = subject.as_subject()?.as_bytes();
        client.check_size(payload.len())?;
        self.try_submit(client, subject.len() + payload.len(), |out, reply| {
            encode::publish(out, subject, reply, payload);
            Ok(())
        })
    }

    #[inline]
    pub(crate) fn try_publish_with(
        &self,
        client: &Client,
        subject: &impl AsSubject,
        headers: &impl HeaderBlock,
        payload: &[u8],
    ) -> Result<Ticket, PublishError> {
        let subject = subject.as_subject()?.as_bytes();
        let size = headers.encoded_len() + payload.len();
        client.check_size(size)?;
        self.try_submit(client, subject.len() + size, |out, reply| {
            Ok(encode::publish_with_headers(out, subject, reply, headers, payload)?)
        })
    }

    /// One claim for the whole batch: all its messages have the same reply subject.
    pub(crate) fn publish_atomic(
        &self,
        client: &Client,
        batch: &AtomicBatch,
    ) -> Result<AtomicTicket, AtomicError> {
        let id = format!("{}-{}", self.batch_prefix, self.batches.fetch_add(1, Relaxed));
        let len = batch.check(client, &id)?;
        let ticket = self.submit(client, len, |out, reply| batch.encode(out, reply, &id))?;
        Ok(AtomicTicket::new(ticket, batch.len()))
    }

    /// Claims a slot and encodes under the write queue's lock: so when a connection is lost, every claim is either among
    /// the unsent frames or was written.
    #[inline]
    fn submit(
        &self,
        client: &Client,
        len: usize,
        mut encode: impl FnMut(&mut Vec<u8>, &[u8]) -> Result<(), jetlane_client::PublishError>,
    ) -> Result<Ticket, PublishError> {
        let mut deadline = None;
        loop {
            let submitted = client.submit(frame_len(len), |out| self.claim(out, &mut encode));
            match submitted {
                Ok(ticket) => return Ok(ticket),
                Err(SubmitError::Encode(Refused::Full(why))) => {
                    self.wait_for_room(client, why, &mut deadline)?;
                }
                Err(error) => return Err(self.explain(client, error)),
            }
        }
    }

    #[inline]
    fn try_submit(
        &self,
        client: &Client,
        len: usize,
        mut encode: impl FnMut(&mut Vec<u8>, &[u8]) -> Result<(), jetlane_client::PublishError>,
    ) -> Result<Ticket, PublishError> {
        let submitted = client.try_submit(frame_len(len), |out| self.claim(out, &mut encode));
        submitted.map_err(|error| self.explain(client, error))
    }

    #[inline]
    fn claim(
        &self,
        out: &mut Vec<u8>,
        encode: &mut impl FnMut(&mut Vec<u8>, &[u8]) -> Result<(), jetlane_client::PublishError>,
    ) -> Result<Ticket, Refused> {
        // Nobody would end the claim. Under the write queue's lock this is as new as the claims that were ended then are old.
        if self.denied.load(Relaxed) {
            return Err(Refused::Denied);
        }
        let claim = self.ring.claim(self.patience).map_err(Refused::Full)?;
        let reply = self.inbox.subject(claim.token());
        encode(out, reply.as_bytes()).map_err(Refused::Client)?;
        self.meters.published();
        Ok(Ticket::new(claim.into_ticket()))
    }

    #[cold]
    fn wait_for_room(
        &self,
        client: &Client,
        why: Full,
        deadline: &mut Option<Instant>,
    ) -> Result<(), PublishError> {
        let now = Instant::now();
        // Where the acks are read nobody can wait for them.
        let wait = match client.is_reactor_thread() {
            true => Duration::ZERO,
            false => client.limits().publish_wait,
        };
        if now >= *deadline.get_or_insert_with(|| later(now, wait)) {
            return Err(self.explain(client, SubmitError::Encode(Refused::Full(why))));
        }
        self.ring.wait_for_room(why);
        Ok(())
    }

    #[cold]
    fn explain(&self, client: &Client, error: SubmitError<Refused>) -> PublishError {
        let limits = client.limits();
        match error {
            SubmitError::Encode(Refused::Full(Full::Window)) => {
                PublishError::Window { limit: limits.pending_acks }
            }
            SubmitError::Encode(Refused::Full(Full::Tickets)) => {
                PublishError::Tickets { limit: limits.tickets }
            }
            SubmitError::Encode(Refused::Denied) => {
                PublishError::Denied { inbox: self.inbox.filter() }
            }
            SubmitError::Encode(Refused::Client(error)) => error.into(),
            SubmitError::Full => jetlane_client::PublishError::Full.into(),
            _ => jetlane_client::PublishError::Closed.into(),
        }
    }
}

/// Twelve random digits.
fn random_id(client: &Client) -> String {
    let inbox = client.new_inbox();
    inbox.rsplit('.').nth(1).unwrap_or_default().into()
}

/// About how long a frame with `len` bytes of subject, headers and payload is.
fn frame_len(len: usize) -> usize {
    len + 64
}
