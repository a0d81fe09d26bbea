//! A subscription that parks what fails, for the tests of parking and of redriving.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetlane::{Envelope, EventBus, Parking, Strategy, Subscribe};

use crate::place::{Place, Started};

/// What was handled, by key; and which events of key `a` fail.
#[derive(Clone, Debug, Default)]
pub struct Log {
    handled: Arc<Mutex<HashMap<String, Vec<i64>>>>,
    down: Arc<Mutex<Range<i64>>>,
}

impl Log {
    /// From the third event on, key `a` fails.
    pub fn down() -> Self {
        let log = Self::default();
        log.fail(2..i64::MAX);
        log
    }

    /// From now on these events of key `a` fail, and no others.
    pub fn fail(&self, numbers: Range<i64>) {
        *self.down.lock().unwrap() = numbers;
    }

    /// From now on nothing fails.
    pub fn up(&self) {
        self.fail(0..0);
    }

    /// Whether this event of key `a` fails.
    pub fn fails(&self, number: i64) -> bool {
        self.down.lock().unwrap().contains(&number)
    }

    /// The event was handled.
    pub fn note(&self, event: &Envelope) {
        let mut handled = self.handled.lock().unwrap();
        handled.entry(event.aggregate_id().into()).or_default().push(event.event_version());
    }

    /// What was handled of this aggregate.
    pub fn of(&self, key: &str) -> Vec<i64> {
        self.handled.lock().unwrap().get(key).cloned().unwrap_or_default()
    }

    /// A subscription by the name of `s`.
    pub fn subscribe(&self, bus: &EventBus) -> Subscribe {
        self.subscribe_as(bus, "s")
    }

    /// A subscription that parks what fails twice.
    pub fn subscribe_as(&self, bus: &EventBus, name: &str) -> Subscribe {
        let log = self.clone();
        bus.subscribe(name)
            .retry(Duration::from_millis(1), Duration::from_millis(5))
            .parking(Parking::to("parked").attempts(NonZeroU32::new(2).unwrap()))
            .on("order.*", move |event: &Envelope| {
                let (key, number) = (event.aggregate_id(), event.event_version());
                if key == "a" && log.fails(number) {
                    return Err(format!("no use: {number}"));
                }
                log.note(event);
                Ok(())
            })
    }
}

/// A server, and a bus with topics for events, parked ones and dead letters.
pub fn with_topics(place: Place) -> (Started, EventBus) {
    let server = place.start();
    let bus = EventBus::connect(&server.url()).unwrap();
    for topic in ["order.>", "parked.>", "dead.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly).unwrap();
    }
    (server, bus)
}

/// Publishes events with these numbers, of the aggregates `a` and `b` in turn.
pub fn publish(bus: &EventBus, numbers: Range<i64>) {
    for number in numbers {
        for key in ["a", "b"] {
            let event = Envelope::new(key, "Tested", "x").with_event_version(number);
            bus.publish("order.x", &event).unwrap().wait().unwrap();
        }
    }
}

/// How many events of key `a` are parked.
pub fn parked(bus: &EventBus) -> u64 {
    let subjects = bus.jetstream().stream_subjects("parked_ALL", ">", 0).wait().unwrap().subjects;
    assert!(subjects.keys().all(|subject| subject == "parked.s.a"), "{subjects:?}");
    subjects.values().sum()
}
