//! Redriving: events go back to the subject they came from, in order, for the subscription that could not handle them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use jetlane_client::Headers;
use jetlane_jetstream::{ApiError, Get};

use super::header::{LETTER, REDRIVE, REDRIVE_END, REDRIVE_FOR, REDRIVE_SEQUENCE, REDRIVE_THROUGH};
use super::token::NO_KEY;
use super::{Letter, LetterKind, Letters, LettersError, Pick};

/// What redriving would do: see [`Letters::plan`]. Printed, it is a list of the events in the order in which they go.
#[derive(Clone, Debug)]
#[must_use = "it does nothing before run is called"]
pub struct RedrivePlan {
    letters: Letters,
    /// Each by itself: dead letters, and parked events that hold up nobody.
    single: Vec<Letter>,
    /// Parked aggregates, by the subject of their letters, each in the order of its events.
    parked: BTreeMap<String, ParkedKey>,
}

#[derive(Clone, Debug, Default)]
struct ParkedKey {
    events: Vec<Letter>,
    /// The place of its newest letter.
    through: u64,
}

/// What was redriven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redriven {
    /// Events that were published again.
    pub events: u64,
    /// Parked aggregates among them. Each is free again once its subscription has handled them, whether that runs now or later.
    pub keys: u64,
    /// Letters without a payload whose events are gone from their stream: they can not be redriven, and stay.
    pub gone: u64,
}

impl RedrivePlan {
    pub(super) fn make(letters: &Letters, pick: &Pick) -> Result<Self, LettersError> {
        let mut single = Vec::new();
        let mut parked: BTreeMap<String, ParkedKey> = BTreeMap::new();
        let mut picked = HashSet::new();
        for letter in letters.read(&Pick::all()) {
            let mut letter = letter?;
            let is_picked = pick.takes(&letter);
            // They are read again when it is their turn: many of them would be large.
            letter.payload = letter.payload.map(|_| bytes::Bytes::new());
            letter.message.payload = bytes::Bytes::new();
            if !is_of_parked_key(&letter) {
                single.extend(is_picked.then_some(letter));
                continue;
            }
            if is_picked {
                picked.insert(letter.letter_subject.clone());
            }
            let key = parked.entry(letter.letter_subject.clone()).or_default();
            key.through = letter.sequence;
            key.events.push(letter);
        }
        parked.retain(|subject, _| picked.contains(subject));
        single.sort_by(|one, other| by_event(one).cmp(&by_event(other)));
        for key in parked.values_mut() {
            key.events.sort_by(|one, other| by_event(one).cmp(&by_event(other)));
            // One that was parked twice, as a process died before it had settled it or as it was redriven and failed, is one event: by
            // its newest letter, as the stream may take that of an older one for published already.
            key.events.dedup_by(|later, kept| {
                let is_same = by_event(later) == by_event(kept);
                if is_same {
                    std::mem::swap(later, kept);
                }
                is_same
            });
        }
        Ok(Self { letters: letters.clone(), single, parked })
    }

    /// The events, in the order in which they go. Their payloads are not read yet: [`Letter::payload`] is empty.
    pub fn events(&self) -> impl Iterator<Item = &Letter> {
        self.single.iter().chain(self.parked.values().flat_map(|key| &key.events))
    }

    /// Publishes them again, one after the other, each once the one before it is stored. They go to the subject they came from, marked
    /// for the one subscription: others pass them over. A dead letter is deleted once its event is stored again; those of a
    /// parked aggregate are deleted by its subscription, which goes on with the aggregate then.
    ///
    /// # Errors
    /// [`LettersError`]. What was done before stays done; the same plan, made again, goes on with the rest. Within the stream's
    /// duplicate window nothing is stored twice.
    pub fn run(self) -> Result<Redriven, LettersError> {
        let Self { letters, single, parked } = &self;
        let mut redriven = Redriven::default();
        for letter in single {
            if letters.publish_again(letter, None, &mut redriven)? {
                letters.delete(letter)?;
            }
        }
        for key in parked.values() {
            // The later events must not go without one that is gone: then all of them stay.
            let gone = letters.count_gone(&key.events)?;
            redriven.gone += gone;
            if gone > 0 {
                continue;
            }
            let mut is_whole = true;
            for letter in &key.events {
                is_whole &= letters.publish_again(letter, Some(key.through), &mut redriven)?;
                if !is_whole {
                    break;
                }
            }
            if let Some(last) = key.events.last().filter(|_| is_whole) {
                letters.publish_marker(last, key.through)?;
                redriven.keys += 1;
            }
        }
        Ok(redriven)
    }
}

/// Those of a parked key go together; a parked event without one is by itself.
fn is_of_parked_key(letter: &Letter) -> bool {
    letter.kind == LetterKind::Parked && !letter.letter_subject.ends_with(&format!(".{NO_KEY}"))
}

fn by_event(letter: &Letter) -> (&str, u64) {
    (&letter.stream, letter.event_sequence)
}

impl Letters {
    /// How many of these events are in no letter, and not in their stream either.
    fn count_gone(&self, events: &[Letter]) -> Result<u64, LettersError> {
        let mut gone = 0;
        for letter in events.iter().filter(|letter| letter.payload.is_none()) {
            let get = Get::Sequence(letter.event_sequence);
            match self.bus.jetstream().get_message(&letter.stream, get).wait() {
                Ok(_) => {}
                Err(ApiError::MessageNotFound { .. }) => gone += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(gone)
    }

    /// False if the event is gone, or somebody else has redriven it meanwhile.
    fn publish_again(
        &self,
        letter: &Letter,
        through: Option<u64>,
        redriven: &mut Redriven,
    ) -> Result<bool, LettersError> {
        let js = self.bus.jetstream();
        let get = |stream: &str, sequence| js.get_message(stream, Get::Sequence(sequence)).wait();
        let found = match letter.payload {
            Some(_) => get(&self.stream, letter.sequence),
            None => get(&letter.stream, letter.event_sequence),
        };
        let payload = match found {
            Ok(message) => message.payload,
            Err(ApiError::MessageNotFound { .. }) => {
                redriven.gone += u64::from(letter.payload.is_none());
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let mut headers = Headers::new();
        add(&mut headers, REDRIVE_FOR, &letter.subscription);
        add(&mut headers, REDRIVE_SEQUENCE, &letter.event_sequence.to_string());
        if let Some(through) = through {
            add(&mut headers, REDRIVE_THROUGH, &through.to_string());
        }
        for (name, value) in letter.headers().iter().flat_map(jetlane_client::HeaderView::iter) {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            if !["Nats-", LETTER, REDRIVE].iter().any(|ours| name.starts_with(ours)) {
                add(&mut headers, &name, &value);
            }
        }
        add(&mut headers, "Nats-Msg-Id", &format!("redrive:{}:{}", self.stream, letter.sequence));
        self.store(letter, &headers, &payload)?;
        redriven.events += 1;
        Ok(true)
    }

    /// Behind the last event of a parked key.
    fn publish_marker(&self, last: &Letter, through: u64) -> Result<(), LettersError> {
        let mut headers = Headers::new();
        add(&mut headers, REDRIVE_FOR, &last.subscription);
        add(&mut headers, REDRIVE_END, &through.to_string());
        if let Some(key) = &last.key {
            add(&mut headers, "X-Aggregate-ID", key);
        }
        // By the key, too: two keys may end with the same letter of a stream that was made anew.
        let id = format!("redrive-end:{}:{}:{through}", self.stream, last.letter_subject);
        add(&mut headers, "Nats-Msg-Id", &id);
        self.store(last, &headers, b"")
    }

    fn store(
        &self,
        letter: &Letter,
        headers: &Headers,
        payload: &[u8],
    ) -> Result<(), LettersError> {
        let (stream, sequence) = (self.stream.clone(), letter.sequence);
        let published = self.bus.jetstream().publish_with(&*letter.subject, headers, payload);
        match published.map(jetlane_jetstream::Ticket::wait) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(LettersError::NotStored { stream, sequence, error }),
            Err(error) => Err(LettersError::Publish { stream, sequence, error }),
        }
    }
}

fn add(headers: &mut Headers, name: &str, value: &str) {
    // What stood in a letter can be sent, and the rest is made here.
    let _ = headers.append(name, value);
}

impl fmt::Display for RedrivePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_subscription: HashMap<&str, usize> = HashMap::new();
        for letter in self.events() {
            *by_subscription.entry(&letter.subscription).or_default() += 1;
            let Letter { subscription, subject, stream, event_sequence, reason, .. } = letter;
            let key = letter.key.as_deref().unwrap_or("-");
            writeln!(f, "{subscription}  {subject}  {key}  {stream}:{event_sequence}  {reason}")?;
        }
        let events: usize = by_subscription.values().sum();
        write!(f, "{events} events, {} parked aggregates", self.parked.len())
    }
}
