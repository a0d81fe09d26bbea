//! Events that the server has given up: delivered as often as the consumer allows, or terminated by somebody. Their letters are
//! written from what stands in the stream, as its advisories tell of them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use jetlane_client::SinkHandle;
use jetlane_jetstream::{Advisory, AdvisoryEvent, ApiError, Get};

use super::SubscribeError;
use super::dead::DeadLetters;
use super::letter::{Kind, Leaver, Story};
use super::shared::Shared;
use super::worker::Task;
use crate::EventBus;

/// So many advisories may wait. There is one for an event that is lost: more than this at once are counted as an error.
const WAITING: usize = 4096;

/// An event that the server has given up.
struct Lost {
    sequence: u64,
    deliveries: u64,
    reason: String,
}

impl Lost {
    fn of(event: AdvisoryEvent) -> Option<Self> {
        match event {
            AdvisoryEvent::MaxDeliveries { stream_sequence: sequence, deliveries } => {
                let reason = format!("it was delivered {deliveries} times, and never acknowledged");
                Some(Self { sequence, deliveries, reason })
            }
            AdvisoryEvent::Terminated { stream_sequence: sequence, deliveries, reason, .. } => {
                Some(Self { sequence, deliveries, reason: format!("it was terminated: {reason}") })
            }
            _ => None,
        }
    }
}

/// Listens until the handle is dropped. The letters are written by a thread of its own, as reading the event takes a request.
pub(super) fn listen(
    bus: &EventBus,
    task: &Arc<Task>,
    shared: &Arc<Shared>,
    dead: &DeadLetters,
) -> Result<SinkHandle, SubscribeError> {
    let (send, lost) = sync_channel(WAITING);
    let errors = Arc::clone(shared);
    let filter = Advisory::filter(&task.stream, &task.name);
    let listening = bus.client().subscription(&filter).inline(move |message| {
        let subject = String::from_utf8_lossy(message.subject());
        // Anybody may publish there: what is no advisory is none.
        let Ok(advisory) = Advisory::read(&subject, message.payload()) else { return };
        if let Some(lost) = Lost::of(advisory.event)
            && send.try_send(lost).is_err()
        {
            errors.note_error(
                "more events were given up by the server at once than letters can be written",
            );
        }
    });
    let listening = listening.map_err(jetlane_jetstream::ConsumeError::from)?;
    let (task, shared, dead) = (Arc::clone(task), Arc::clone(shared), dead.clone());
    // It ends with the subscription, whose callback holds the other end.
    let writer = thread::Builder::new().name("dead-letters".into());
    writer
        .spawn(move || write_all(&lost, &task, &shared, &dead))
        .map_err(jetlane_lanes::StartError::Thread)?;
    Ok(listening)
}

fn write_all(lost: &Receiver<Lost>, task: &Task, shared: &Shared, dead: &DeadLetters) {
    for lost in lost {
        let sequence = lost.sequence;
        match write(lost, task, dead) {
            Ok(()) => shared.counts.dead_lettered.add_one(),
            Err(error) => {
                shared.note_error(&format!("no letter for the event at {sequence}: {error}"))
            }
        }
    }
}

fn write(lost: Lost, task: &Task, dead: &DeadLetters) -> Result<(), String> {
    let bus = task.writer.bus()?;
    let event = match bus.jetstream().get_message(&task.stream, Get::Sequence(lost.sequence)).wait()
    {
        Ok(event) => event,
        Err(ApiError::MessageNotFound { .. }) => {
            return Err("it is not in its stream any more".into());
        }
        Err(error) => return Err(error.to_string()),
    };
    let key = event.headers().and_then(|headers| headers.get("X-Aggregate-ID"));
    let leaver = Leaver {
        subject: event.subject.as_bytes(),
        headers: event.headers(),
        payload: &event.payload,
        sequence: event.sequence,
        deliveries: lost.deliveries,
        key,
    };
    let story = Story { kind: Kind::Dead, reason: lost.reason, attempts: 0 };
    let subject = dead.letter_subject(leaver.subject);
    let ticket = task.writer.write(&subject, &leaver, &story)?;
    ticket.wait().map(drop).map_err(|error| error.to_string())
}
