//! One aggregate that can not go on for ten ack waits, while 10 000 events a second flow on others.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jetlane::jetstream::Storage;
use jetlane::{Envelope, EventBus, Parking, Pick, Settlement, Strategy, Subscription};
use jetlane_testkit::Server;
use jetlane_tests::{DEADLINE, eventually};

const ACK_WAIT: Duration = Duration::from_secs(1);
/// Events are published by the hundred, a hundred times a second.
const BEAT: Duration = Duration::from_millis(10);
const A_BEAT: u64 = 100;
const KEYS: u64 = 500;

/// What was handled.
#[derive(Default)]
struct Log {
    /// Of the aggregate that is blocked.
    blocked: Vec<i64>,
    /// How long it took from publishing to handling, of the others, in the order of handling.
    latencies: Vec<Duration>,
}

struct Bed {
    _server: Server,
    bus: EventBus,
    subscription: Subscription,
    log: Arc<Mutex<Log>>,
    is_blocked: Arc<AtomicBool>,
    published: u64,
    published_blocked: i64,
}

impl Bed {
    fn new(settlement: Settlement) -> Self {
        let server = Server::start().unwrap();
        let bus = EventBus::connect(&server.url()).unwrap();
        bus.topic("order.>").storage(Storage::Memory).ensure(Strategy::CreateOnly).unwrap();
        bus.topic("parked.>").ensure(Strategy::CreateOnly).unwrap();
        let (log, is_blocked) = (Arc::<Mutex<Log>>::default(), Arc::<AtomicBool>::default());
        let subscribe = bus
            .subscribe("s")
            .settlement(settlement)
            .ack_wait(ACK_WAIT)
            .retry(Duration::from_millis(10), Duration::from_millis(200));
        let subscribe = match settlement {
            // By then the block is over: only for the others is it parked sooner.
            Settlement::Watermark => {
                subscribe.parking(Parking::to("parked").attempts(NonZeroU32::MAX))
            }
            _ => subscribe,
        };
        let handler = {
            let (log, is_blocked) = (Arc::clone(&log), Arc::clone(&is_blocked));
            move |event: &Envelope| {
                if event.aggregate_id() == "blocked" {
                    if is_blocked.load(Relaxed) {
                        return Err("not now");
                    }
                    log.lock().unwrap().blocked.push(event.event_version());
                } else {
                    let latency = event.timestamp().elapsed().unwrap_or_default();
                    log.lock().unwrap().latencies.push(latency);
                }
                Ok(())
            }
        };
        let subscription = subscribe.on("order.*", handler).start().unwrap();
        let (published, published_blocked) = (0, 0);
        Self { _server: server, bus, subscription, log, is_blocked, published, published_blocked }
    }

    /// Publishes 10 000 events a second, and ten of the blocked aggregate. Returns the 99th percentile of the latency of the others.
    fn flow(&mut self, time: Duration, mut look: impl FnMut(&Subscription)) -> Duration {
        let before = self.log.lock().unwrap().latencies.len();
        let (begun, mut tickets) = (Instant::now(), Vec::new());
        let mut next = begun;
        for beat in 0u64.. {
            if begun.elapsed() >= time {
                break;
            }
            for _ in 0..A_BEAT {
                let key = (self.published % KEYS).to_string();
                let event = Envelope::new(key, "Tested", "x");
                tickets.push(self.bus.publish("order.x", event).unwrap());
                self.published += 1;
            }
            if beat % 10 == 0 {
                let event = Envelope::new("blocked", "Tested", "x");
                let event = event.with_event_version(self.published_blocked);
                tickets.push(self.bus.publish("order.x", event).unwrap());
                self.published_blocked += 1;
            }
            if beat % 100 == 99 {
                look(&self.subscription);
            }
            tickets.drain(..).for_each(|ticket| assert!(ticket.wait().is_ok()));
            next += BEAT;
            while Instant::now() < next {
                thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
        }
        let published = usize::try_from(self.published).unwrap();
        eventually("the others are all handled", || {
            (self.log.lock().unwrap().latencies.len() == published).then_some(())
        });
        let mut latencies = self.log.lock().unwrap().latencies[before..].to_vec();
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100]
    }

    /// In the end all is handled, once, and in order; nothing was delivered again.
    fn check_end(&self) {
        let last = self.published_blocked;
        eventually("the blocked ones are handled", || {
            (self.log.lock().unwrap().blocked.len() as i64 >= last).then_some(())
        });
        assert_eq!(self.log.lock().unwrap().blocked, (0..last).collect::<Vec<_>>());
        eventually("all is settled", || {
            let info = self.bus.jetstream().consumer_info("order_ALL", "s").wait().unwrap();
            let delivered = (info.delivered.consumer_seq, info.delivered.stream_seq);
            assert_eq!(delivered.0, delivered.1, "nothing was delivered twice");
            (info.num_pending + info.num_ack_pending == 0).then_some(())
        });
        self.bus.close(DEADLINE).unwrap();
    }
}

#[test]
fn by_explicit_acks_a_blocked_aggregate_waits_and_the_others_notice_nothing() {
    let mut bed = Bed::new(Settlement::Each);
    let free = bed.flow(3 * ACK_WAIT, |_| {});
    bed.is_blocked.store(true, Relaxed);
    let mut stalled = Duration::ZERO;
    let blocked = bed.flow(10 * ACK_WAIT, |subscription| {
        let health = subscription.health();
        assert_eq!(health.stalled.len(), 1, "{health:?}");
        assert_eq!(health.stalled[0].aggregate_id.as_deref(), Some("blocked"));
        assert_eq!(health.stalled[0].reason, "not now");
        stalled = stalled.max(health.stalled[0].since);
        assert!(health.consumer.unwrap().oldest.unwrap() >= health.stalled[0].since);
    });
    println!("each: p99 of the others {free:?} free, {blocked:?} while one is blocked");
    assert!(stalled >= 8 * ACK_WAIT, "{stalled:?}");
    // A loose bound, as other tests run beside this one: a stall would be as long as a retry, or the ack wait.
    assert!(blocked < free * 5 + Duration::from_millis(50), "{free:?} {blocked:?}");
    bed.is_blocked.store(false, Relaxed);
    bed.check_end();
}

#[test]
fn by_watermark_a_blocked_aggregate_is_parked_in_time_and_the_others_notice_nothing() {
    let mut bed = Bed::new(Settlement::Watermark);
    let free = bed.flow(3 * ACK_WAIT, |_| {});
    bed.is_blocked.store(true, Relaxed);
    let mut looks = 0;
    let blocked = bed.flow(10 * ACK_WAIT, |subscription| {
        looks += 1;
        assert_eq!(subscription.health().parked_keys, 1, "in time");
    });
    println!("watermark: p99 of the others {free:?} free, {blocked:?} while one is parked");
    assert!(looks >= 8, "{looks}");
    assert!(blocked < free * 5 + Duration::from_millis(50), "{free:?} {blocked:?}");
    let counts = bed.subscription.counts();
    assert!(counts.parked >= 90 && counts.retried < 100, "{counts:?}");
    bed.is_blocked.store(false, Relaxed);
    let plan = bed.bus.letters("parked").unwrap().plan(&Pick::all()).unwrap();
    assert_eq!(plan.run().unwrap().keys, 1);
    bed.check_end();
}
