//! Publishes loads, each on the condition that what is known to be last on its subjects is last; and tells what became of them.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use jetlane::client::HeaderBlock;
use jetlane::jetstream::{AtomicBatch, Flight, JetStream, PublishError, TryTake};
use jetlane::{
    AtomicError, AtomicTicket, BatchNotStored, NotStored, Outcome, Rejection, StoredBatch, Ticket,
};

use super::expected::Expected;
use super::lines::Load;
use crate::bell::Bell;
use crate::store::Row;

/// Publishes what may go out.
pub(crate) struct Courier {
    js: JetStream,
    pub(crate) expected: Expected,
    flight: Flight<Sending, Load>,
    landed: Vec<(Load, Landing)>,
}

/// What became of a load that was to be published.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The stream has it. The sequence of its first row; the others follow.
    Stored { first: u64 },
    /// Something else than expected is last on a subject, or the server has not said what became of it: it may be stored.
    Doubtful { why: String },
    /// It is not stored, and can be tried again.
    NotNow { why: String },
    /// It is not stored, and never will be as it is.
    Refused { why: String },
}

/// Why a load was not sent.
pub(crate) enum Unsent {
    /// There is no room now: later, without a word.
    NoRoom,
    /// The connection was closed by its owner.
    Closed,
    Fate(Fate),
}

impl Courier {
    pub(crate) fn new(js: JetStream, bell: Arc<Bell>) -> Self {
        let flight = Flight::new(move || bell.ring());
        Self { js, expected: Expected::default(), flight, landed: Vec::new() }
    }

    /// How many loads are on their way.
    pub(crate) fn on_their_way(&self) -> usize {
        self.flight.len()
    }

    pub(crate) fn send(&mut self, load: Load) -> Result<(), (Load, Unsent)> {
        let sending = match &load.rows[..] {
            [row] => self.send_row(row).map(Sending::Row),
            rows => self.send_unit(rows).map(Sending::Unit),
        };
        match sending {
            Ok(sending) => {
                self.flight.launch(sending, load);
                Ok(())
            }
            Err(unsent) => Err((load, unsent)),
        }
    }

    fn send_row(&self, row: &Row) -> Result<Ticket, Unsent> {
        let expected = Some(self.expected.last(&row.subject));
        let headers = Conditional { block: &row.headers, expected };
        Ok(self.js.try_publish_with(&*row.subject, &headers, &row.payload)?)
    }

    fn send_unit(&self, rows: &[Arc<Row>]) -> Result<AtomicTicket, Unsent> {
        let mut batch = AtomicBatch::new();
        let mut seen = HashSet::new();
        for row in rows {
            // The server takes no condition on a subject that the batch has written to already: the first one stands for all.
            let is_first = seen.insert(&*row.subject);
            let expected = is_first.then(|| self.expected.last(&row.subject));
            let headers = Conditional { block: &row.headers, expected };
            batch.add_with(&*row.subject, &headers, &row.payload)?;
        }
        Ok(self.js.publish_atomic(&batch)?)
    }

    /// What became of loads since the last time.
    pub(crate) fn land(&mut self) -> Vec<(Load, Fate)> {
        self.flight.land(&mut self.landed);
        let mut landed = Vec::with_capacity(self.landed.len());
        for (load, landing) in self.landed.drain(..) {
            let mut fate = landing.fate();
            if let Fate::Doubtful { why } = &mut fate {
                add_what_was_said(why, self.js.client().last_error(), &load);
            }
            if let Fate::Stored { first } = fate {
                for (row, sequence) in load.rows.iter().zip(first..) {
                    self.expected.note(&row.subject, sequence);
                }
            }
            landed.push((load, fate));
        }
        landed
    }
}

/// A publish on its way.
enum Sending {
    Row(Ticket),
    Unit(AtomicTicket),
}

enum Landing {
    Row(Outcome),
    Unit(Result<StoredBatch, BatchNotStored>),
}

impl Future for Sending {
    type Output = Landing;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landing> {
        match self.get_mut() {
            Self::Row(ticket) => Pin::new(ticket).poll(context).map(Landing::Row),
            Self::Unit(ticket) => Pin::new(ticket).poll(context).map(Landing::Unit),
        }
    }
}

impl TryTake for Sending {
    fn try_take(&mut self) -> Option<Landing> {
        match self {
            Self::Row(ticket) => ticket.try_take().map(Landing::Row),
            Self::Unit(ticket) => ticket.try_take().map(Landing::Unit),
        }
    }
}

impl Landing {
    fn fate(self) -> Fate {
        match self {
            Self::Row(Ok(stored)) => Fate::Stored { first: stored.sequence },
            Self::Row(Err(NotStored::Unknown(why))) => Fate::Doubtful { why: why.to_string() },
            Self::Row(Err(NotStored::Rejected(rejection))) => rejected(&rejection),
            Self::Unit(Ok(stored)) => Fate::Stored { first: *stored.sequences().start() },
            Self::Unit(Err(BatchNotStored::Rejected(rejection))) => rejected(&rejection),
            Self::Unit(Err(error @ (BatchNotStored::Unknown(_) | BatchNotStored::Duplicate))) => {
                Fate::Doubtful { why: error.to_string() }
            }
            Self::Unit(Err(error)) => Fate::Refused { why: error.to_string() },
        }
    }
}

/// A server answers what it does not permit by an error that belongs to no publish, and no ack comes.
fn add_what_was_said(why: &mut String, said: Option<String>, load: &Load) {
    if let Some(said) = said.filter(|said| load.rows.iter().any(|row| said.contains(&row.subject)))
    {
        why.push_str(&format!(" ({said})"));
    }
}

fn rejected(rejection: &Rejection) -> Fate {
    let why = rejection.to_string();
    match () {
        () if rejection.is_wrong_last_sequence() => Fate::Doubtful { why },
        () if rejection.is_temporary() || is_of_the_stream(rejection) => Fate::NotNow { why },
        () => Fate::Refused { why },
    }
}

/// Whether the stream would refuse any event now: it is full or sealed, or the account or the server has no room left. That goes by without the
/// event being changed.
fn is_of_the_stream(rejection: &Rejection) -> bool {
    matches!(rejection.error_code, 10002 | 10023 | 10028 | 10047 | 10077 | 10109)
}

impl From<PublishError> for Unsent {
    fn from(error: PublishError) -> Self {
        use jetlane::client::PublishError as Client;
        let why = error.to_string();
        match error {
            PublishError::Window { .. }
            | PublishError::Tickets { .. }
            | PublishError::Client(Client::Full | Client::Disconnected) => Self::NoRoom,
            PublishError::Client(Client::Closed) => Self::Closed,
            PublishError::Denied { .. } => Self::Fate(Fate::NotNow { why }),
            _ => Self::Fate(Fate::Refused { why }),
        }
    }
}

impl From<AtomicError> for Unsent {
    fn from(error: AtomicError) -> Self {
        match error {
            AtomicError::Publish(error) => error.into(),
            error => Self::Fate(Fate::Refused { why: error.to_string() }),
        }
    }
}

/// The headers of a row, and what is expected to be last on its subject.
struct Conditional<'a> {
    block: &'a [u8],
    expected: Option<u64>,
}

const END: &[u8] = b"\r\n";
const EXPECTED: &[u8] = b"Nats-Expected-Last-Subject-Sequence: ";

impl HeaderBlock for Conditional<'_> {
    fn encoded_len(&self) -> usize {
        let digits = |number: u64| number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let line = |number| EXPECTED.len() + digits(number) + END.len();
        self.block.len() + self.expected.map_or(0, line)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Some(number) = self.expected else { return out.extend_from_slice(self.block) };
        let lines = self.block.strip_suffix(END).unwrap_or(self.block);
        let number = number.to_string();
        for part in [lines, EXPECTED, number.as_bytes(), END, END] {
            out.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_one_more_line() {
        for (expected, line) in [
            (None, ""),
            (Some(0), "Nats-Expected-Last-Subject-Sequence: 0\r\n"),
            (Some(10), "Nats-Expected-Last-Subject-Sequence: 10\r\n"),
            (Some(u64::MAX), "Nats-Expected-Last-Subject-Sequence: 18446744073709551615\r\n"),
        ] {
            let block = b"NATS/1.0\r\nA: b\r\n\r\n";
            let headers = Conditional { block, expected };
            let mut encoded = Vec::new();
            headers.encode(&mut encoded);
            assert_eq!(encoded.len(), headers.encoded_len());
            assert_eq!(encoded, format!("NATS/1.0\r\nA: b\r\n{line}\r\n").into_bytes());
        }
    }
}
