//! Replay: a new reader gets the past, from the beginning, from a place, or from a time on.
//!
//! Run it with `cargo run -p jetlane --example replay`.

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use jetlane::{Envelope, EventBus, StartAt, Strategy};

fn main() -> Result<(), Box<dyn Error>> {
    let server = jetlane_testkit::Server::start()?;
    let bus = EventBus::connect(&server.url())?;
    bus.topic("account.>").ensure(Strategy::CreateOnly)?;
    for amount in [10, -3, 5] {
        let event = Envelope::new("account-7", "Booked", amount.to_string());
        bus.publish("account.booked", &event)?.wait()?;
    }

    for (name, start) in [
        ("all of it", StartAt::All),
        ("from the second event on", StartAt::Sequence(2)),
        ("what comes from now on", StartAt::New),
    ] {
        let (send, amounts) = mpsc::channel();
        // A name of its own, so it has a place of its own.
        let reader = bus
            .subscribe(&name.replace(' ', "-"))
            .start_at(start)
            .on("account.booked", move |event: &Envelope| {
                let amount = String::from_utf8_lossy(event.payload()).into_owned();
                send.send(amount).ok();
            })
            .start()?;
        let amounts: Vec<String> =
            std::iter::from_fn(|| amounts.recv_timeout(Duration::from_millis(500)).ok()).collect();
        println!("{name}: {}", amounts.join(" "));
        reader.stop(Duration::from_secs(5))?;
    }
    bus.close(Duration::from_secs(5))?;
    Ok(())
}
