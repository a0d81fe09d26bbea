//! The thread of a publisher.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use jetlane_client::proto::Backoff;
use jetlane_client::{Containment, later};
use jetlane_jetstream::{
    Flight, JetStream, NotStored, Outcome, Rejection, Stored, Ticket, Unknown,
};

use super::keys::{Entry, Keys};
use super::rate::TokenBucket;
use super::shared::{Accepted, Event, Shared, Stage, closed};
use super::{KeyOrder, NotPublished, PublishError, Published};
use crate::Form;

/// How long nothing is tried when the connection takes no more: nobody tells when it does again.
const LOOK: Duration = Duration::from_millis(5);

/// How events are published.
pub(super) struct Policy {
    pub(super) form: Form,
    pub(super) order: KeyOrder,
    pub(super) patience: Duration,
    pub(super) retry_if: Box<dyn Fn(&Rejection) -> bool + Send>,
}

/// Where outcomes go.
pub(super) enum Tell<T> {
    Queue,
    Callback(Callback<T>),
}

type Callback<T> = Box<dyn FnMut(&mut Vec<Published<T>>) + Send>;

pub(super) struct Worker<T> {
    js: JetStream,
    shared: Arc<Shared<T>>,
    policy: Policy,
    bucket: Option<TokenBucket>,
    tell: Tell<T>,
    containment: Containment,
    stage: Stage,
    /// Empty under [`KeyOrder::Free`].
    keys: Keys<Box<Event<T>>>,
    /// To be published now, in this order.
    ready: VecDeque<Box<Event<T>>>,
    /// To be published again, each at its time.
    resting: BTreeMap<(Instant, u64), Box<Event<T>>>,
    /// How many have rested: so that no two of them have the same place.
    rests: u64,
    flight: Flight<Ticket, Cargo<T>>,
    landed: Vec<(Cargo<T>, Outcome)>,
    /// Outcomes to be told next.
    burst: Vec<Published<T>>,
    /// How many outcomes there were so far, those in `burst` included.
    ended: u64,
}

/// What a ticket is for.
enum Cargo<T> {
    /// An event that its caller has published.
    Token(T),
    Event(Box<Event<T>>),
}

impl<T: Send + 'static> Worker<T> {
    pub(super) fn new(
        js: JetStream,
        shared: Arc<Shared<T>>,
        policy: Policy,
        bucket: Option<TokenBucket>,
        tell: Tell<T>,
    ) -> Self {
        let bell = Arc::clone(&shared);
        let ring = move || bell.intake.change(|intake| intake.has_rung = true);
        Self {
            containment: js.client().containment(),
            js,
            flight: Flight::new(ring),
            shared,
            policy,
            bucket,
            tell,
            stage: Stage::Open,
            keys: Keys::default(),
            ready: VecDeque::new(),
            resting: BTreeMap::new(),
            rests: 0,
            landed: Vec::new(),
            burst: Vec::new(),
            ended: 0,
        }
    }

    pub(super) fn run(mut self) {
        self.shared.is_this_thread();
        loop {
            self.take_outcomes();
            self.take_accepted();
            self.take_rested(Instant::now());
            let next_sent = match self.stage {
                Stage::Open | Stage::Closing => self.send(),
                Stage::Cut => self.give_up(),
            };
            self.deliver();
            if !self.sleep(next_sent) {
                break;
            }
        }
        self.shared.told.change(|told| told.has_ended = true);
    }

    fn take_outcomes(&mut self) {
        let mut landed = mem::take(&mut self.landed);
        self.flight.land(&mut landed);
        landed.drain(..).for_each(|(cargo, outcome)| self.land(cargo, outcome));
        self.landed = landed;
    }

    fn take_accepted(&mut self) {
        let (accepted, taken) = {
            let mut intake = self.shared.intake.lock();
            (mem::take(&mut intake.accepted), intake.taken)
        };
        for accepted in accepted {
            match accepted {
                Accepted::Flying(ticket, token) => self.launch(ticket, Cargo::Token(token)),
                Accepted::Event(event) => self.enter(event),
            }
        }
        self.keys.heal(taken);
    }

    fn enter(&mut self, event: Box<Event<T>>) {
        if self.policy.order == KeyOrder::Free {
            self.ready.push_back(event);
            return;
        }
        let (key, taken) = (event.key(), event.taken);
        match self.keys.enter(&key, event, taken) {
            Entry::Go(event) => self.ready.push_back(event),
            Entry::Waits => {}
            Entry::Behind(event, event_id) => self.fall_behind(key, [event], event_id),
        }
    }

    /// Those whose rest is over.
    fn take_rested(&mut self, now: Instant) {
        while let Some(first) = self.resting.first_entry()
            && first.key().0 <= now
        {
            self.ready.push_back(first.remove());
        }
    }

    /// Publishes what is ready. Returns when the rest can be tried, if there is any.
    fn send(&mut self) -> Option<Instant> {
        while let Some(mut event) = self.ready.pop_front() {
            let now = Instant::now();
            let since = *event.since.get_or_insert(now);
            if let Some(at) = self.bucket.as_mut().map(|bucket| bucket.ready(now))
                && at > now
            {
                self.ready.push_front(event);
                return Some(at);
            }
            match self.try_publish(&event) {
                Ok(ticket) => {
                    self.bucket.iter_mut().for_each(TokenBucket::take);
                    event.attempts = event.attempts.saturating_add(1);
                    self.launch(ticket, Cargo::Event(event));
                }
                Err(error) if has_no_room(&error) && now < later(since, self.policy.patience) => {
                    self.ready.push_front(event);
                    return Some(now + LOOK);
                }
                Err(error) => {
                    let why = match error == closed() {
                        true => NotPublished::Closed,
                        false => NotPublished::Unsent(error),
                    };
                    self.fail(*event, why);
                }
            }
        }
        None
    }

    fn try_publish(&self, event: &Event<T>) -> Result<Ticket, PublishError> {
        let Event { topic, envelope, .. } = event;
        let message = envelope.encode(self.policy.form, topic.as_str())?;
        Ok(self.js.try_publish_with(topic, &message, message.body())?)
    }

    fn launch(&mut self, ticket: Ticket, cargo: Cargo<T>) {
        if let Some((cargo, outcome)) = self.flight.launch_or_take(ticket, cargo) {
            self.land(cargo, outcome);
        }
    }

    fn land(&mut self, cargo: Cargo<T>, outcome: Outcome) {
        match (cargo, outcome) {
            (Cargo::Token(token), Ok(stored)) => self.end(token, Ok(stored)),
            (Cargo::Token(token), Err(error)) => self.end(token, Err(error.into())),
            (Cargo::Event(event), Ok(stored)) => self.succeed(*event, stored),
            (Cargo::Event(event), Err(error)) => self.stumble(event, error),
        }
    }

    fn succeed(&mut self, event: Event<T>, stored: Stored) {
        let next = self.keys.next(event.envelope.aggregate_id());
        self.end(event.token, Ok(stored));
        self.ready.extend(next);
    }

    /// An attempt failed: there may be another.
    fn stumble(&mut self, mut event: Box<Event<T>>, error: NotStored) {
        let now = Instant::now();
        if let NotStored::Unknown(why) = &error {
            event.unknown = Some(*why);
        }
        let may_again = self.policy.order == KeyOrder::Wait
            && self.stage != Stage::Cut
            && self.is_worth_another(&error);
        let rested = now + Backoff::default().delay(event.attempts, u32::MAX);
        if may_again && rested < later(event.since.unwrap_or(now), self.policy.patience) {
            self.rests += 1;
            self.resting.insert((rested, self.rests), event);
        } else {
            self.fail(*event, error.into());
        }
    }

    fn is_worth_another(&self, error: &NotStored) -> bool {
        match error {
            NotStored::Unknown(why) => matches!(why, Unknown::TimedOut | Unknown::Disconnected),
            NotStored::Rejected(rejection) => {
                self.containment.call(|| (self.policy.retry_if)(rejection)) == Some(true)
            }
        }
    }

    /// An event failed for good, and those behind it with it.
    fn fail(&mut self, event: Event<T>, why: NotPublished) {
        let why = event.unknown.map_or(why, NotPublished::Unknown);
        let (key, event_id) = (event.key(), event.event_id());
        self.end(event.token, Err(why));
        if self.policy.order != KeyOrder::Free {
            let behind = self.keys.fail(&key);
            self.fall_behind(key, behind, event_id);
        }
    }

    fn fall_behind(
        &mut self,
        key: String,
        behind: impl IntoIterator<Item = Box<Event<T>>>,
        event_id: ByteString,
    ) {
        for event in behind {
            let why = NotPublished::Behind { event_id: event_id.clone() };
            self.end(event.token, Err(why));
        }
        self.keys.hold(key, self.ended, event_id);
    }

    /// Ends all that is not on its way. Nothing is left to be sent.
    fn give_up(&mut self) -> Option<Instant> {
        let ready = mem::take(&mut self.ready).into_iter();
        let resting = mem::take(&mut self.resting).into_values();
        let waiting: Vec<_> = ready.chain(resting).chain(self.keys.waiting()).collect();
        for event in waiting {
            let why = event.unknown.map_or(NotPublished::Closed, NotPublished::Unknown);
            self.end(event.token, Err(why));
        }
        None
    }

    fn end(&mut self, token: T, outcome: Result<Stored, NotPublished>) {
        self.ended += 1;
        self.burst.push(Published::new(token, outcome));
    }

    fn deliver(&mut self) {
        let count = self.burst.len();
        if count == 0 {
            return;
        }
        let burst = &mut self.burst;
        match &mut self.tell {
            Tell::Callback(callback) => {
                // They are in its hands: what it publishes comes after them.
                self.shared.release(count);
                self.containment.call(|| callback(burst));
            }
            Tell::Queue => {
                let is_abandoned = self.shared.told.change(|told| {
                    if !told.is_abandoned {
                        told.outcomes.append(burst);
                    }
                    told.is_abandoned
                });
                if is_abandoned {
                    self.shared.release(count);
                }
            }
        }
        // Tokens are the user's, and so are their drops.
        self.containment.call(|| burst.clear());
        self.shared.intake.lock().untold -= count;
    }

    /// Sleeps until there is something to do. False if there never will be.
    fn sleep(&mut self, next_sent: Option<Instant>) -> bool {
        let stage = self.stage;
        // What callers have published needs nobody to hurry: the next outcome wakes us, or we look by ourselves.
        let is_direct = self.policy.order == KeyOrder::Free && self.bucket.is_none();
        let look = (is_direct && !self.flight.is_empty()).then(|| Instant::now() + 2 * LOOK);
        // What can not be sent yet needs nothing behind it.
        let takes = look.is_none() && next_sent.is_none();
        // Asked for now: an ack that came while we were sending may have sent an event to rest.
        let next_rested = self.resting.first_key_value().map(|((at, _), _)| *at);
        let next = [next_rested, next_sent, look].into_iter().flatten().min();
        self.shared.intake.lock().is_idle = takes;
        let mut intake = self.shared.intake.wait(next, |intake| {
            intake.has_rung
                || intake.stage != stage
                || (takes && !intake.accepted.is_empty())
                || (stage != Stage::Open && intake.untold == 0)
        });
        intake.has_rung = false;
        intake.is_idle = false;
        self.stage = intake.stage;
        self.stage == Stage::Open || intake.untold > 0
    }
}

impl<T> Event<T> {
    fn key(&self) -> String {
        self.envelope.aggregate_id().into()
    }

    /// Every event that is accepted has one.
    fn event_id(&self) -> ByteString {
        self.envelope.event_id().unwrap_or_default().into()
    }
}

/// True if it may be taken later.
fn has_no_room(error: &PublishError) -> bool {
    use jetlane_client::PublishError::{Disconnected, Full};
    use jetlane_jetstream::PublishError::{Client, Tickets, Window};
    match error {
        PublishError::JetStream(Window { .. } | Tickets { .. }) => true,
        PublishError::JetStream(Client(error)) => matches!(error, Full | Disconnected),
        _ => false,
    }
}

impl From<NotStored> for NotPublished {
    fn from(error: NotStored) -> Self {
        match error {
            NotStored::Rejected(rejection) => Self::Rejected(rejection),
            NotStored::Unknown(why) => Self::Unknown(why),
        }
    }
}
