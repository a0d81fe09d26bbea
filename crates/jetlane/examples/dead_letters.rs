//! What can not be handled does not stop the rest: it is kept with its history, looked at, and redriven once the cause is gone.
//!
//! Run it with `cargo run -p jetlane --example dead_letters`.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use jetlane::{DeadLetters, Envelope, EventBus, Parking, Pick, Strategy, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    let server = jetlane_testkit::Server::start()?;
    let bus = EventBus::connect(&server.url())?;
    for topic in ["order.>", "dead.>", "parked.>"] {
        bus.topic(topic).ensure(Strategy::CreateOnly)?;
    }

    let is_bank_down = Arc::new(AtomicBool::new(true));
    let bank = Arc::clone(&is_bank_down);
    let billing = bus
        .subscribe("billing")
        .retry(Duration::from_millis(1), Duration::from_millis(10))
        // What can never be handled leaves by itself, and its order goes on.
        .dead_letters(DeadLetters::to("dead"))
        // What fails for now leaves with all that comes behind it, so that its order stays in order.
        .parking(Parking::to("parked").attempts(NonZeroU32::new(3).expect("not 0")))
        .on("order.paid", move |event: &Envelope| {
            if event.payload().is_empty() {
                return Verdict::Reject { reason: "no amount".into() };
            }
            if bank.load(Relaxed) {
                return Verdict::Retry { after: None, reason: "the bank is down".into() };
            }
            println!(
                "charged {} for {}",
                String::from_utf8_lossy(event.payload()),
                event.aggregate_id()
            );
            Verdict::Done
        })
        .start()?;

    for (order, amount) in [("order-1", "7"), ("order-1", "8"), ("order-2", "")] {
        bus.publish("order.paid", Envelope::new(order, "OrderPaid", amount))?.wait()?;
    }
    let wait = |what: &dyn Fn() -> bool| {
        while !what() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    wait(&|| billing.counts().parked == 2 && billing.counts().dead_lettered == 1);

    for (what, subject) in [("dead", "dead"), ("parked", "parked")] {
        for letter in bus.letters(subject)?.read(&Pick::all()) {
            let letter = letter?;
            println!("{what}: {} ({})", letter.key.unwrap_or_default(), letter.reason);
        }
    }

    // The bank is back. First a look, then the deed; `jetlane dlq redrive` does the same from the command line.
    is_bank_down.store(false, Relaxed);
    let plan = bus.letters("parked")?.plan(&Pick::all().subscription("billing"))?;
    println!("{plan}");
    let redriven = plan.run()?;
    wait(&|| billing.counts().handled == 2);
    println!("{} events redriven", redriven.events);
    bus.close(Duration::from_secs(10))?;
    Ok(())
}
