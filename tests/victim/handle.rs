//! A process that handles events badly: it fails, panics and dawdles at random, until it is killed.

use std::io::Write;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use jetlane::{DeadLetters, Envelope, EventBus, Settlement};

/// Says in a line of each attempt: the key, the number of the event, and what came of it.
fn say(key: &str, number: &str, what: &str) {
    // In one write, as lines of other lanes go the same way.
    let line = format!("{key} {number} {what}\n");
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn handle(event: &Envelope) -> Result<(), &'static str> {
    let key = event.aggregate_id();
    let number = str::from_utf8(event.payload()).unwrap_or_default();
    if event.event_type() == "Poison" {
        say(key, number, "poison");
        return Err("poison");
    }
    match fastrand::u32(0..1000) {
        0 => {
            say(key, number, "panic");
            panic!("out of tea");
        }
        1..51 => {
            say(key, number, "failed");
            return Err("bad luck");
        }
        51..61 => std::thread::park_timeout(Duration::from_micros(fastrand::u64(0..1000))),
        _ => {}
    }
    say(key, number, "done");
    Ok(())
}

pub(crate) fn run(url: &str, settlement: &str) {
    std::panic::set_hook(Box::new(|_| {}));
    let settlement = match settlement {
        "watermark" => Settlement::Watermark,
        _ => Settlement::Each,
    };
    let bus = EventBus::connect(url).unwrap();
    bus.subscribe("s")
        .settlement(settlement)
        .ack_wait(Duration::from_secs(2))
        .lanes(NonZeroUsize::new(4).unwrap())
        .retry(Duration::from_millis(1), Duration::from_millis(5))
        .dead_letters(DeadLetters::to("dead").attempts(NonZeroU32::new(6).unwrap()))
        .on("order.*", handle)
        .start()
        .unwrap();
    // Until it is killed.
    loop {
        std::thread::park();
    }
}
