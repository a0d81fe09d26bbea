use super::*;

fn config() -> PullConfig {
    PullConfig {
        messages: 64,
        least_messages: 64,
        bytes: 1000,
        expires: Duration::from_secs(30),
        heartbeat: Duration::from_secs(5),
        ack_wait: Duration::from_secs(30),
    }
}

/// A scheduler on simulated time.
struct Sim {
    scheduler: PullScheduler,
    start: Instant,
    now: Instant,
}

impl Sim {
    fn new() -> Self {
        let now = Instant::now();
        Self { scheduler: PullScheduler::new(config(), now), start: now, now }
    }

    /// Batches of all pulls due now.
    fn pulls(&mut self) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| self.scheduler.poll(self.now))
            .map(|pull| (pull.id, pull.batch))
            .collect()
    }

    fn deliver(&mut self, messages: usize, bytes_each: usize) {
        (0..messages).for_each(|_| self.scheduler.on_message(bytes_each, bytes_each, self.now));
        self.scheduler.on_heard(self.now);
    }

    fn settle(&mut self, messages: usize, bytes_each: usize) {
        self.scheduler.on_settled(messages, messages * bytes_each);
        self.scheduler.on_handled(messages, self.now);
    }

    fn status(&mut self, id: u64, status: PullStatus) -> Option<PullEvent> {
        self.scheduler.on_status(id, status, self.now)
    }

    fn wait(&mut self, wait: Duration) {
        self.now += wait;
    }
}

#[test]
fn the_request_is_what_the_server_reads() {
    let mut out = Vec::new();
    Sim::new().scheduler.poll(Instant::now()).unwrap().encode(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"expires":30000000000,"batch":64,"max_bytes":500,"idle_heartbeat":5000000000}"#
    );
}

#[test]
fn pulls_overlap_and_never_exceed_the_window() {
    let mut sim = Sim::new();
    assert_eq!(sim.pulls(), [(1, 64)]);
    sim.deliver(20, 1);
    assert_eq!(sim.pulls(), [], "delivered, but held");
    sim.settle(15, 1);
    assert_eq!(sim.pulls(), [], "less than a quarter is free");
    sim.settle(1, 1);
    assert_eq!(sim.pulls(), [(2, 16)], "44 of the first pull are still to come");
    assert_eq!((sim.scheduler.outstanding(), sim.scheduler.held()), (60, 4));
}

#[test]
fn what_is_handled_but_not_settled_counts_against_the_whole_window_only() {
    let mut sim = Sim::new();
    sim.scheduler = PullScheduler::new(PullConfig { messages: 256, ..config() }, sim.now);
    assert_eq!(sim.pulls(), [(1, 64)]);
    sim.deliver(64, 1);
    // One stays open, and under a watermark none of the others can be settled.
    sim.scheduler.on_handled(63, sim.now);
    assert_eq!(sim.pulls(), [(2, 63)]);
    sim.deliver(63, 1);
    sim.scheduler.on_handled(63, sim.now);
    assert_eq!(sim.pulls(), [(3, 127)], "the rate opens the window further");
    sim.deliver(127, 1);
    sim.scheduler.on_handled(127, sim.now);
    assert_eq!(sim.pulls(), [], "but what is held may not exceed the whole");
}

/// The bytes that each pull due now asks for.
fn bytes_asked(sim: &mut Sim) -> Vec<Option<usize>> {
    std::iter::from_fn(|| sim.scheduler.poll(sim.now)).map(|pull| pull.max_bytes).collect()
}

#[test]
fn no_pull_while_too_many_bytes_are_held() {
    let mut sim = Sim::new();
    sim.pulls();
    sim.deliver(64, 1000 / 64 + 1);
    sim.settle(1, 1);
    assert_eq!(sim.pulls(), []);
    sim.settle(31, 1000 / 64 + 1);
    assert_eq!(sim.pulls(), [(2, 32)]);
}

#[test]
fn pulls_ask_for_no_more_bytes_than_are_free() {
    let mut sim = Sim::new();
    assert_eq!(bytes_asked(&mut sim), [Some(500)], "half, so that the next can overlap it");
    // Sixteen of ten bytes come and stay: 160 are held, and 340 of the first pull are to come.
    sim.deliver(16, 10);
    assert_eq!(bytes_asked(&mut sim), [], "all messages are asked for");
    sim.settle(16, 10);
    assert_eq!(bytes_asked(&mut sim), [Some(330)]);
    // The first ends early, and gives back what it did not use.
    sim.status(1, PullStatus::Ended { left: 48, left_bytes: 340 });
    assert_eq!(bytes_asked(&mut sim), [Some(335)]);
    sim.status(3, PullStatus::NoResponders);
    sim.status(2, PullStatus::NoResponders);
    assert_eq!(sim.scheduler.outstanding(), 0);
    sim.wait(RETRY_MOST);
    assert_eq!(bytes_asked(&mut sim), [Some(500)], "what was refused is free again");
}

#[test]
fn a_message_larger_than_the_room_waits_for_more_and_then_has_all_for_itself() {
    let mut sim = Sim::new();
    sim.pulls();
    sim.deliver(1, 400);
    sim.status(1, PullStatus::TooLarge { left: 63, left_bytes: 100 });
    assert_eq!(bytes_asked(&mut sim), [Some(600)], "more than was too little: all that is free");
    sim.status(2, PullStatus::TooLarge { left: 63, left_bytes: 600 });
    assert_eq!(bytes_asked(&mut sim), [], "until something is settled");
    sim.settle(1, 400);
    assert_eq!(bytes_asked(&mut sim), [Some(1000)]);
    sim.status(3, PullStatus::TooLarge { left: 64, left_bytes: 1000 });
    let alone = sim.scheduler.poll(sim.now).unwrap();
    assert_eq!((alone.batch, alone.max_bytes), (1, None), "it fits into nothing");
    sim.deliver(1, 5000);
    assert_eq!(bytes_asked(&mut sim), []);
    sim.settle(1, 5000);
    assert_eq!(bytes_asked(&mut sim), [Some(500)]);
}

#[test]
fn nothing_is_due_while_there_is_no_connection() {
    let mut sim = Sim::new();
    sim.pulls();
    sim.wait(Duration::from_secs(3));
    sim.status(1, PullStatus::NoResponders);
    assert_eq!(sim.scheduler.next_timeout(), Some(sim.now + RETRY_FIRST));
    sim.scheduler.on_disconnected();
    assert_eq!(sim.scheduler.next_timeout(), None, "the pause after a refusal");
    sim.pulls();
    sim.wait(Duration::from_secs(3600));
    assert!(sim.scheduler.next_timeout() < Some(sim.now));
    sim.scheduler.on_disconnected();
    assert_eq!(sim.scheduler.next_timeout(), None, "the silence");
    assert_eq!(sim.scheduler.outstanding(), 0);
}

#[test]
fn while_something_is_recovered_no_more_is_asked_for_than_is_missing() {
    let mut sim = Sim::new();
    sim.scheduler.recover(Some(0));
    assert_eq!(sim.pulls(), []);
    sim.scheduler.recover(Some(3));
    assert_eq!(sim.pulls(), [(1, 3)]);
    assert_eq!(sim.pulls(), [], "they are asked for");
    sim.deliver(2, 1);
    assert_eq!(sim.pulls(), [(2, 2)]);
    // A full table does not keep out what its oldest entries wait for; nor does a lack of bytes.
    sim.deliver(3, 1000);
    sim.scheduler.recover(Some(100));
    let pull = sim.scheduler.poll(sim.now).unwrap();
    assert_eq!((pull.batch, pull.max_bytes), (1, None));
    sim.scheduler.recover(None);
    sim.scheduler.on_reconnected(sim.now);
    assert_eq!(sim.pulls(), [], "the bounds are back");
}

#[test]
fn statuses() {
    let refused = |code, reason: &str| PullStatus::Refused { code, reason: reason.into() };
    let told = |code, reason: &str| Some(PullEvent::Refused { code, reason: reason.into() });
    let no_one = "no such stream or consumer, or none that answers now";
    // (status of pull 1 after 4 of its 64 messages, event, outstanding then, pulls at once, pulls after 100 ms)
    for (status, event, outstanding, at_once, later) in [
        (PullStatus::Heartbeat, None, 60, vec![], vec![]),
        (PullStatus::Ended { left: 60, left_bytes: 0 }, None, 0, vec![(2, 60)], vec![]),
        (PullStatus::Ended { left: 0, left_bytes: 0 }, None, 60, vec![], vec![]),
        (PullStatus::Ended { left: u64::MAX, left_bytes: 0 }, None, 0, vec![(2, 60)], vec![]),
        (PullStatus::TooLarge { left: 60, left_bytes: 400 }, None, 0, vec![(2, 60)], vec![]),
        (PullStatus::TooLarge { left: 60, left_bytes: 996 }, None, 0, vec![], vec![]),
        (PullStatus::AllOver, None, 0, vec![(2, 60)], vec![]),
        (
            refused(409, "Exceeded MaxWaiting"),
            told(409, "Exceeded MaxWaiting"),
            0,
            vec![],
            vec![(2, 60)],
        ),
        (refused(400, "Bad Request"), told(400, "Bad Request"), 0, vec![], vec![(2, 60)]),
        (refused(404, "No Messages"), told(404, "No Messages"), 0, vec![], vec![(2, 60)]),
        (refused(408, "Requests Pending"), told(408, "Requests Pending"), 0, vec![], vec![(2, 60)]),
        (
            refused(423, "Nats-Pin-Id mismatch"),
            told(423, "Nats-Pin-Id mismatch"),
            0,
            vec![],
            vec![(2, 60)],
        ),
        (PullStatus::NoResponders, told(503, no_one), 0, vec![], vec![(2, 60)]),
        (
            PullStatus::Gone { reason: "Consumer Deleted".into() },
            Some(PullEvent::Gone { reason: "Consumer Deleted".into() }),
            0,
            vec![],
            vec![],
        ),
    ] {
        let mut sim = Sim::new();
        sim.pulls();
        sim.deliver(4, 1);
        assert_eq!(sim.status(1, status.clone()), event, "{status:?}");
        assert_eq!(sim.scheduler.outstanding(), outstanding, "{status:?}");
        assert_eq!(sim.pulls(), at_once, "{status:?}");
        sim.wait(RETRY_FIRST);
        assert_eq!(sim.pulls(), later, "{status:?}");
    }
}

#[test]
fn statuses_of_pulls_that_are_over_or_made_up_count_nothing() {
    let mut sim = Sim::new();
    sim.pulls();
    sim.status(1, PullStatus::AllOver);
    assert_eq!(sim.pulls(), [(2, 64)]);
    for id in [0, 1, 3, u64::MAX] {
        assert_eq!(sim.status(id, PullStatus::Gone { reason: String::new() }), None);
        assert_eq!(sim.scheduler.outstanding(), 64);
    }
}

#[test]
fn refusals_in_a_row_are_paced() {
    let mut sim = Sim::new();
    let mut attempts = 0;
    while sim.now < sim.start + Duration::from_secs(60) {
        for (id, _) in sim.pulls() {
            attempts += 1;
            sim.status(id, PullStatus::NoResponders);
        }
        sim.wait(Duration::from_millis(10));
    }
    assert!((15..=20).contains(&attempts), "{attempts}");
}

#[test]
fn silence_means_that_our_pulls_are_lost() {
    let mut sim = Sim::new();
    assert_eq!(sim.scheduler.next_timeout(), None);
    sim.pulls();
    sim.wait(Duration::from_secs(9));
    sim.status(1, PullStatus::Heartbeat);
    sim.wait(Duration::from_secs(9));
    assert_eq!(sim.scheduler.on_time(sim.now), None);
    assert_eq!(sim.scheduler.next_timeout(), Some(sim.start + Duration::from_secs(19)));
    sim.wait(Duration::from_secs(1));
    assert_eq!(sim.scheduler.on_time(sim.now), Some(PullEvent::MissedHeartbeat));
    assert_eq!(sim.pulls(), [(2, 64)]);
}

#[test]
fn silence_means_nothing_while_nothing_is_outstanding() {
    let mut sim = Sim::new();
    sim.pulls();
    sim.deliver(64, 1);
    sim.wait(Duration::from_secs(3600));
    assert_eq!(sim.scheduler.on_time(sim.now), None);
    sim.settle(64, 1);
    assert_eq!(sim.pulls().len(), 1);
    assert_eq!(sim.scheduler.on_time(sim.now), None, "the silence before the pull does not count");
}

#[test]
fn a_new_connection_starts_over_but_what_is_held_stays_held() {
    let mut sim = Sim::new();
    sim.pulls();
    sim.deliver(10, 1);
    sim.scheduler.on_reconnected(sim.now);
    assert_eq!(sim.pulls(), [(2, 54)]);
    sim.scheduler.on_known_message(1);
    assert_eq!((sim.scheduler.outstanding(), sim.scheduler.held()), (53, 10));
}

#[test]
fn a_stopped_scheduler_asks_no_more() {
    let mut sim = Sim::new();
    sim.scheduler.stop();
    assert_eq!(sim.pulls(), []);
    assert_eq!(sim.scheduler.next_timeout(), None);
}

#[test]
fn the_window_opens_for_fast_handlers_and_closes_for_slow_ones() {
    let mut sim = Sim::new();
    sim.scheduler =
        PullScheduler::new(PullConfig { messages: 10_000, bytes: usize::MAX, ..config() }, sim.now);
    // A handler of 0.1 ms: the window doubles up to the whole.
    for _ in 0..200 {
        let asked: usize = sim.pulls().iter().map(|(_, batch)| batch).sum();
        sim.deliver(asked, 1);
        sim.wait(Duration::from_micros(100) * u32::try_from(asked).unwrap());
        sim.settle(asked, 1);
    }
    assert_eq!(sim.scheduler.rate.window, 10_000);
    // Now one of 100 ms: at 10 a second, 75 messages fill a quarter of the ack wait.
    let asked: usize = sim.pulls().iter().map(|(_, batch)| batch).sum();
    sim.deliver(asked, 1);
    for _ in 0..10 {
        sim.wait(Duration::from_millis(100));
        sim.settle(1, 1);
    }
    assert_eq!(sim.scheduler.rate.window, 75);
}

#[test]
fn the_window_is_what_can_be_handled_in_a_quarter_of_the_ack_wait_within_its_bounds() {
    for (handling_ms, ack_wait_s, least, most, expected) in [
        // A quarter of the ack wait, divided by the time of an event.
        (10, 30, 100, 1000, 750),
        (20, 30, 100, 1000, 375),
        (10, 12, 100, 1000, 300),
        // No more than the most, and no fewer than the least.
        (1, 30, 100, 1000, 1000),
        (200, 30, 100, 1000, 100),
        (2000, 30, 100, 1000, 100),
        (200, 30, 1, 1000, 37),
        (2000, 30, 1, 1000, 3),
        (20_000, 30, 1, 1000, 1),
        // The most counts before the least, which is 1 at the least.
        (1, 30, 100, 10, 10),
        (20_000, 30, 0, 0, 1),
    ] {
        let mut sim = Sim::new();
        let ack_wait = Duration::from_secs(ack_wait_s);
        let (messages, least_messages, bytes) = (most, least, usize::MAX);
        let config = PullConfig { messages, least_messages, bytes, ack_wait, ..config() };
        sim.scheduler = PullScheduler::new(config, sim.now);
        for _ in 0..5000 {
            let asked: usize = sim.pulls().iter().map(|(_, batch)| batch).sum();
            sim.deliver(asked, 1);
            sim.wait(Duration::from_millis(handling_ms));
            sim.settle(1, 1);
        }
        assert_eq!(sim.scheduler.rate.window, expected, "{handling_ms} ms, {ack_wait_s} s");
        let unhandled = sim.scheduler.outstanding() + sim.scheduler.held();
        assert!(unhandled <= expected, "{handling_ms} ms, {ack_wait_s} s: {unhandled}");
    }
}

#[test]
fn idle_time_says_nothing_about_the_rate() {
    let mut sim = Sim::new();
    sim.scheduler =
        PullScheduler::new(PullConfig { messages: 10_000, bytes: usize::MAX, ..config() }, sim.now);
    for _ in 0..200 {
        let asked: usize = sim.pulls().iter().map(|(_, batch)| batch).sum();
        sim.deliver(asked, 1);
        sim.wait(Duration::from_micros(10) * u32::try_from(asked).unwrap());
        sim.settle(asked, 1);
    }
    assert_eq!(sim.scheduler.rate.window, 10_000);
    for idle in [1, 3600] {
        sim.wait(Duration::from_secs(idle));
        sim.pulls();
        sim.deliver(100, 1);
        // The first of the hundred is settled while the others are still open.
        sim.wait(Duration::from_millis(1));
        sim.settle(10, 1);
        assert_eq!(sim.scheduler.rate.window, 10_000, "after {idle} s of nothing to do");
        sim.settle(90, 1);
    }
}

mod model {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever happens in whatever order: never more than the window, and the server can always be asked again.
        #[test]
        fn never_exceeds_and_never_stalls(steps in proptest::collection::vec((0u8..8, 0u64..70), 0..200)) {
            let mut sim = Sim::new();
            for (step, amount) in steps {
                let batches = sim.pulls();
                prop_assert!(batches.iter().all(|(_, batch)| *batch > 0));
                prop_assert!(sim.scheduler.outstanding() + sim.scheduler.held() <= 64);
                let count = usize::try_from(amount).unwrap();
                match step {
                    0..3 => sim.deliver(count.min(sim.scheduler.outstanding()), 1),
                    3 => sim.settle(count.min(sim.scheduler.held()), 1),
                    4 => drop(sim.status(amount, PullStatus::Ended { left: amount, left_bytes: 0 })),
                    5 => drop(sim.status(amount, PullStatus::NoResponders)),
                    6 => drop(sim.status(amount, PullStatus::AllOver)),
                    _ => sim.scheduler.on_reconnected(sim.now),
                }
                sim.wait(Duration::from_millis(amount));
            }
            sim.settle(sim.scheduler.held(), 1);
            sim.wait(Duration::from_secs(20));
            sim.scheduler.on_time(sim.now);
            sim.pulls();
            prop_assert!(sim.scheduler.outstanding() > 0);
        }
    }
}

#[test]
fn the_window_closes_for_slow_callbacks_too() {
    let mut sim = Sim::new();
    sim.scheduler =
        PullScheduler::new(PullConfig { messages: 10_000, bytes: usize::MAX, ..config() }, sim.now);
    let pass = |sim: &mut Sim, messages: usize, each: Duration| {
        while sim.scheduler.poll(sim.now).is_some() {}
        for _ in 0..messages {
            sim.scheduler.on_passing_message(1, sim.now);
        }
        sim.wait(each * u32::try_from(messages).unwrap());
        sim.scheduler.on_passed(messages, sim.now);
        sim.scheduler.rate.window
    };
    let mut window = 0;
    for _ in 0..100 {
        window = pass(&mut sim, 60, Duration::from_micros(1));
    }
    assert!(window > 64, "fast ones open it: {window}");
    let mut closed = window;
    for _ in 0..100 {
        closed = pass(&mut sim, 60, Duration::from_millis(200));
    }
    assert!(closed < window, "slow ones close it: {closed}");
}
