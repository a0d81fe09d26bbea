use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jetlane_client::proto::jetstream::{PubAck, PubAckError};
use jetlane_client::{CloseReason, Inbox, MessageRef, Out, Sink, Ticks, Unsent};
use jetlane_ring::{Completer, PendingRing};

use super::meters::Meters;
use super::{NotStored, Outcome, Rejection, Stored, Unknown};

/// How often publishes are looked at for having waited long enough.
const TICK: Duration = Duration::from_millis(50);

/// How many ticks a publish with `timeout` survives.
pub(super) fn patience(timeout: Duration) -> u32 {
    Ticks::patience(TICK, timeout)
}

/// Takes all acks of a connection's publishes.
pub(super) struct AckSink {
    inbox: Inbox,
    ring: Arc<PendingRing<Outcome>>,
    completer: Completer<Outcome>,
    ticks: Ticks,
    denied: Arc<AtomicBool>,
    meters: Meters,
}

impl AckSink {
    /// `denied` is set when the server does not permit the inbox, so that no acks can come.
    pub(super) fn new(
        inbox: Inbox,
        ring: Arc<PendingRing<Outcome>>,
        denied: Arc<AtomicBool>,
        meters: Meters,
    ) -> Self {
        let (completer, ticks) = (ring.completer(), Ticks::new(TICK));
        Self { inbox, completer, ring, ticks, denied, meters }
    }
}

impl Sink for AckSink {
    #[inline]
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        if let Some(token) = self.inbox.token(message.subject())
            && let Some(outcome) = read(message)
        {
            let ended = self.meters.of(&outcome);
            // An ack that comes too late finds a newer epoch, and changes nothing.
            let completed = match outcome {
                Ok(_) => self.completer.complete(token, outcome),
                // Each message of an atomic batch is answered, and once one was refused those behind it are, too.
                Err(_) => self.completer.complete_and_retire(token, outcome),
            };
            if completed.is_ok() {
                ended.count();
            }
        }
    }

    fn turn_end(&mut self, _: &mut Out<'_>) {
        self.completer.flush();
    }

    fn disconnected(&mut self, unsent: &mut Unsent<'_>) {
        let unsent = unsent.tokens(&self.inbox);
        // What was written may be stored or not. What was not written will be, and keeps waiting.
        let ended = self.completer.fail_where(
            |token| !unsent.contains(&token),
            || Err(NotStored::Unknown(Unknown::Disconnected)),
        );
        self.meters.unknown(ended);
    }

    fn is_timed(&self) -> bool {
        true
    }

    fn next_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.ticks.next(self.ring.in_flight(), now)
    }

    fn timeout(&mut self, out: &mut Out<'_>) {
        let ended = self.completer.sweep(|| Err(NotStored::Unknown(Unknown::TimedOut)));
        self.meters.unknown(ended);
        self.completer.flush();
        self.ticks.ticked(out.now());
    }

    fn is_at_rest(&self) -> bool {
        self.ring.in_flight() == 0
    }

    fn denied(&mut self) {
        self.denied.store(true, Relaxed);
    }

    fn closed(&mut self, reason: CloseReason) {
        let why = match reason {
            CloseReason::Denied => Unknown::Denied,
            _ => Unknown::Closed,
        };
        let ended = self.completer.fail_where(|_| true, || Err(NotStored::Unknown(why)));
        self.meters.unknown(ended);
        self.completer.flush();
    }
}

/// What a message to our inbox says of a publish. `None` if it is no answer of a stream: whoever listens on the subject
/// besides the stream may answer as it likes, and the stream's own answer is still to come.
#[inline]
fn read(message: &MessageRef<'_>) -> Option<Outcome> {
    match PubAck::read(message.payload()) {
        Ok(PubAck { sequence, duplicate }) => Some(Ok(Stored { sequence, duplicate })),
        Err(error) => explain(message, error).map(Err),
    }
}

#[cold]
fn explain(message: &MessageRef<'_>, error: PubAckError) -> Option<NotStored> {
    let (code, error_code, reason) = match error {
        PubAckError::Rejected { code, error_code, description } => (code, error_code, description),
        _ => {
            let status = message.headers()?.status()?;
            let reason = match status.code {
                503 => {
                    "no stream stores this subject: create a stream for it, or wait for its leader"
                        .into()
                }
                _ => String::from_utf8_lossy(status.description).into_owned(),
            };
            (status.code, 0, reason)
        }
    };
    Some(NotStored::Rejected(Box::new(Rejection { code, error_code, reason })))
}
