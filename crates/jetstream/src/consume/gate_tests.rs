use std::time::{Duration, Instant};

use super::gate::{Answer, Gate, Guard};

const ACK_WAIT: Duration = Duration::from_secs(10);
/// From closing until the server has all in its queue.
const QUEUED: Duration = Duration::from_millis(10_500);

/// A gate on simulated time, just closed.
struct Bed {
    gate: Gate,
    now: Instant,
}

/// What a gate lets through: how many may be outstanding, whether what comes is handed on, whether a watermark may move.
type Lets = (Option<usize>, bool, bool);
const OPEN: Lets = (None, true, true);

impl Bed {
    fn new(guard: Guard) -> Self {
        let now = Instant::now();
        let mut gate = Gate::new(guard, ACK_WAIT);
        gate.close(now);
        Self { gate, now }
    }

    fn lets(&self) -> Lets {
        let Self { gate, now } = self;
        (gate.most_outstanding(*now), !gate.holds_back(), gate.lets_acknowledge())
    }

    fn wait(&mut self, wait: Duration) -> &mut Self {
        self.now += wait;
        self.gate.on_time(self.now);
        self
    }

    /// Asks, and is answered at once.
    fn answer(&mut self, answer: Answer) -> &mut Self {
        self.now += Duration::from_secs(1);
        let number = self.gate.ask(self.now).expect("a question is due");
        self.gate.on_answer(number, answer, self.now);
        self
    }
}

#[test]
fn without_a_guard_it_is_always_open() {
    let mut bed = Bed::new(Guard::Nothing);
    assert_eq!(bed.lets(), OPEN);
    assert_eq!(bed.gate.ask(bed.now), None);
    assert_eq!(bed.gate.next_timeout(bed.now), None);
}

#[test]
fn answers() {
    let acks = |guard| guard == Guard::Order;
    for guard in [Guard::Order, Guard::Watermark] {
        // (answer, what it lets through then)
        for (answer, expected) in [
            (Answer::Missing(0), OPEN),
            (Answer::Refused, OPEN),
            (Answer::Missing(3), (Some(3), false, acks(guard))),
            // One pull shows whether it can deliver again.
            (Answer::Unavailable, (Some(1), false, acks(guard))),
        ] {
            let mut bed = Bed::new(guard);
            assert_eq!(bed.lets(), (Some(0), false, acks(guard)), "nothing is known yet");
            assert_eq!(bed.answer(answer).lets(), expected, "{guard:?} {answer:?}");
        }
    }
}

#[test]
fn only_the_last_question_is_answered() {
    let mut bed = Bed::new(Guard::Order);
    let question = bed.gate.ask(bed.now).unwrap();
    assert!(bed.gate.waits_for(question));
    bed.gate.on_answer(question, Answer::Missing(4), bed.now);
    assert_eq!(bed.lets().0, Some(4));
    // An answer that comes twice, or late, or to a question from before the gate closed again.
    bed.wait(Duration::from_secs(1));
    let second = bed.gate.ask(bed.now).unwrap();
    assert!(!bed.gate.waits_for(question));
    bed.gate.on_answer(question, Answer::Missing(0), bed.now);
    assert_eq!(bed.lets().0, Some(4));
    bed.gate.close(bed.now);
    assert!(!bed.gate.waits_for(second));
    bed.gate.on_answer(second, Answer::Missing(0), bed.now);
    assert_eq!(bed.lets().0, Some(0));
}

#[test]
fn it_asks_again_until_it_is_open() {
    let mut bed = Bed::new(Guard::Order);
    assert_eq!(bed.gate.next_timeout(bed.now), Some(bed.now));
    let question = bed.gate.ask(bed.now).unwrap();
    let lost = bed.now + Duration::from_secs(2);
    assert_eq!(bed.gate.next_timeout(bed.now), Some(lost), "the question may be lost");
    assert_eq!(bed.gate.ask(bed.now), None);
    bed.gate.on_answer(question, Answer::Missing(1), bed.now);
    let again = bed.now + Duration::from_millis(100);
    assert_eq!(bed.gate.next_timeout(bed.now), Some(again));
    assert_eq!(bed.gate.ask(bed.now), None);
    bed.gate.on_redelivered(bed.now);
    assert_eq!(bed.gate.next_timeout(bed.now), Some(bed.now), "all that was missing is here");
    bed.answer(Answer::Missing(0));
    assert_eq!(bed.gate.next_timeout(bed.now), None);
    assert_eq!(bed.lets(), OPEN);
}

#[test]
fn once_something_new_comes_it_waits_for_the_ack_wait() {
    for (guard, after) in [(Guard::Order, OPEN), (Guard::Watermark, (Some(3), true, false))] {
        let mut bed = Bed::new(guard);
        let lets_acknowledge = guard == Guard::Order;
        bed.answer(Answer::Missing(3));
        bed.gate.on_drained(bed.now);
        assert_eq!(bed.lets(), (Some(0), false, lets_acknowledge), "{guard:?}");
        bed.wait(QUEUED);
        assert_eq!(bed.lets(), (Some(3), false, lets_acknowledge), "{guard:?}");
        // What is missing came first, if it came; what is given back with a delay the watermark must wait for.
        bed.gate.on_drained(bed.now);
        assert_eq!(bed.lets(), after, "{guard:?}");
        if guard == Guard::Watermark {
            assert_eq!(bed.answer(Answer::Missing(1)).lets(), (Some(1), true, false));
            assert_eq!(bed.answer(Answer::Missing(0)).lets(), OPEN);
        }
    }
}

#[test]
fn without_any_answer_time_opens_it() {
    for (guard, after) in [(Guard::Order, OPEN), (Guard::Watermark, (None, true, false))] {
        let mut bed = Bed::new(guard);
        bed.wait(QUEUED - Duration::from_millis(1));
        assert_eq!((bed.lets().0, bed.lets().1), (Some(0), false));
        bed.wait(Duration::from_millis(1));
        assert_eq!(bed.lets(), after, "{guard:?}");
        assert_eq!(bed.wait(ACK_WAIT).lets(), OPEN);
    }
}

#[test]
fn closing_again_starts_over() {
    let mut bed = Bed::new(Guard::Watermark);
    bed.answer(Answer::Missing(3));
    bed.wait(QUEUED);
    bed.gate.on_drained(bed.now);
    bed.gate.close(bed.now);
    assert_eq!(bed.lets(), (Some(0), false, false));
    bed.gate.open();
    assert_eq!(bed.lets(), OPEN);
}
