//! The queue of subscriptions whose reader wants the newest messages rather than all: one lock a message, so that any message can be
//! dropped until it is read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use crate::queue::{Bounds, Next, Overflow, QueueStats};
use crate::shared::Shared;
use crate::sink::{CloseReason, Out, Sink};
use crate::slow::SlowReader;
use crate::{Arena, Message, MessageRef, Watched};

#[derive(Debug)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    bounds: Bounds,
    /// How many messages have left the queue at its front: what is at place `i` came as number `left + i`.
    left: u64,
    /// The number of the message that waits for each subject. Only kept to conflate.
    by_subject: HashMap<Bytes, u64>,
    stats: QueueStats,
    closed: Option<CloseReason>,
}

/// The reactor's end.
pub(crate) struct LossySink {
    queue: Arc<Watched<State>>,
    /// `None` where the messages that wait are of very different age: one would keep the memory of all its neighbours.
    arena: Option<Arena>,
    /// The messages of this turn.
    fresh: Vec<Message>,
    slow: SlowReader,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct LossyReader {
    queue: Arc<Watched<State>>,
}

pub(crate) fn lossy_queue(
    subject: &str,
    bounds: Bounds,
    shared: Arc<Shared>,
) -> (LossySink, LossyReader) {
    let queue = Arc::new(Watched::new(State::new(bounds)));
    let reader = LossyReader { queue: Arc::clone(&queue) };
    let slow = SlowReader::new(subject, shared);
    let arena = (bounds.overflow != Overflow::Conflate).then(Arena::new);
    (LossySink { queue, arena, fresh: Vec::new(), slow }, reader)
}

impl State {
    fn new(bounds: Bounds) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            bounds,
            left: 0,
            by_subject: HashMap::new(),
            stats: QueueStats::default(),
            closed: None,
        }
    }

    fn push(&mut self, message: Message) {
        self.stats.queued += 1;
        self.bytes += message.wire_len();
        if self.bounds.overflow == Overflow::Conflate {
            if let Some(number) = self.by_subject.get(message.subject_bytes()) {
                let place = usize::try_from(number - self.left).unwrap_or(usize::MAX);
                if let Some(older) = self.messages.get_mut(place) {
                    self.bytes -= older.wire_len();
                    *older = message;
                    self.stats.dropped += 1;
                    return;
                }
            }
            let next = self.left + self.messages.len() as u64;
            // A copy: what it is part of may be replaced, and is to be freed then.
            self.by_subject.insert(Bytes::copy_from_slice(message.subject_bytes()), next);
        }
        self.messages.push_back(message);
        // The newest stays, however large it is.
        while self.messages.len() > self.bounds.messages.max(1)
            || (self.bytes > self.bounds.bytes && self.messages.len() > 1)
        {
            self.pop();
            self.stats.dropped += 1;
        }
        self.stats.most_waiting = self.stats.most_waiting.max(self.messages.len());
        self.stats.most_waiting_bytes = self.stats.most_waiting_bytes.max(self.bytes);
    }

    /// There is something to take, or nothing to wait for.
    fn is_ready(&self) -> bool {
        !self.messages.is_empty() || self.closed.is_some()
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.left += 1;
        self.bytes -= message.wire_len();
        if self.bounds.overflow == Overflow::Conflate {
            self.by_subject.remove(message.subject_bytes());
        }
        Some(message)
    }
}

impl LossySink {
    /// Hands the messages of this turn on. Returns how many were dropped by this.
    fn hand_on(&mut self) -> u64 {
        let Self { queue, fresh, .. } = self;
        if fresh.is_empty() {
            return 0;
        }
        queue.change(|state| {
            let before = state.stats.dropped;
            fresh.drain(..).for_each(|message| state.push(message));
            state.stats.dropped - before
        })
    }

    fn close(&self, reason: CloseReason) {
        self.queue.change(|state| {
            state.closed.get_or_insert(reason);
        });
    }
}

impl Sink for LossySink {
    fn message(&mut self, message: &MessageRef<'_>, _: &mut Out<'_>) {
        self.fresh.push(match &mut self.arena {
            Some(arena) => message.to_message(arena),
            None => message.to_own_message(),
        });
    }

    fn turn_end(&mut self, out: &mut Out<'_>) {
        let dropped = self.hand_on();
        if dropped > 0 {
            self.slow.dropped(dropped, out);
        } else {
            self.slow.has_caught_up();
        }
    }

    fn is_read_out(&self) -> bool {
        self.queue.lock().messages.is_empty()
    }

    fn closed(&mut self, reason: CloseReason) {
        self.hand_on();
        self.close(reason);
    }
}

impl Drop for LossySink {
    fn drop(&mut self) {
        // However the reactor ended: the reader must not wait for ever.
        self.close(CloseReason::ReactorDied);
    }
}

impl LossyReader {
    pub(crate) fn try_next(&mut self) -> Next {
        take(&mut self.queue.lock())
    }

    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Next {
        take(&mut self.queue.wait(deadline, State::is_ready))
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match take(&mut self.queue.poll(cx, State::is_ready)) {
            Next::Message(message) => Poll::Ready(Some(message)),
            Next::Closed => Poll::Ready(None),
            Next::Empty => Poll::Pending,
        }
    }

    pub(crate) fn stats(&self) -> QueueStats {
        let state = self.queue.lock();
        QueueStats { waiting: state.messages.len(), waiting_bytes: state.bytes, ..state.stats }
    }

    pub(crate) fn end(&self) -> Option<CloseReason> {
        self.queue.lock().closed
    }
}

fn take(state: &mut State) -> Next {
    match state.pop() {
        Some(message) => Next::Message(message),
        None if state.closed.is_some() => Next::Closed,
        None => Next::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(overflow: Overflow, messages: usize, bytes: usize) -> State {
        State::new(Bounds { messages, bytes, overflow })
    }

    fn push(state: &mut State, subject: &str, payload: &str) {
        let frame = format!("MSG {subject} 1 {}\r\n{payload}\r\n", payload.len());
        let message = MessageRef::read(frame.as_bytes()).unwrap().to_message(&mut Arena::new());
        state.push(message);
    }

    fn read(state: &mut State) -> Vec<String> {
        std::iter::from_fn(|| state.pop())
            .map(|message| {
                format!("{}={}", message.subject(), String::from_utf8_lossy(message.payload()))
            })
            .collect()
    }

    #[test]
    fn the_oldest_make_room() {
        let mut state = state(Overflow::DropOldest, 2, 1000);
        for n in ["1", "2", "3", "4"] {
            push(&mut state, "s", n);
        }
        assert_eq!((state.stats.dropped, state.stats.most_waiting), (2, 2));
        assert_eq!(read(&mut state), ["s=3", "s=4"]);
        assert_eq!(state.bytes, 0);
        let frame_len = "MSG s 1 1\r\n1\r\n".len();
        let mut state = self::state(Overflow::DropOldest, 100, 2 * frame_len);
        for n in ["1", "2", "3"] {
            push(&mut state, "s", n);
        }
        push(&mut state, "s", &"x".repeat(100));
        assert_eq!(
            read(&mut state),
            [format!("s={}", "x".repeat(100))],
            "one larger than the bound stays alone"
        );
    }

    #[test]
    fn of_each_subject_the_newest_waits_in_its_first_place() {
        let mut state = state(Overflow::Conflate, 3, 1000);
        for (subject, payload) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("a", "3")] {
            push(&mut state, subject, payload);
        }
        assert_eq!(state.stats.dropped, 2);
        assert_eq!(state.pop().unwrap().payload(), b"3");
        push(&mut state, "a", "4");
        push(&mut state, "b", "2");
        push(&mut state, "d", "1");
        assert_eq!(read(&mut state), ["c=1", "a=4", "d=1"], "the oldest subject made room");
        assert!(state.by_subject.is_empty() && state.bytes == 0);
    }
}
