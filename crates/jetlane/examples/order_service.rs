//! A service that reacts to the events of orders: each order's events are handled in the order in which they happened,
//! different orders side by side.
//!
//! Run it with `cargo run -p jetlane --example order_service`.

use std::error::Error;
use std::time::Duration;

use jetlane::{Envelope, EventBus, Strategy};

fn main() -> Result<(), Box<dyn Error>> {
    // A server for this example; yours has an address of its own.
    let server = jetlane_testkit::Server::start()?;
    let bus = EventBus::connect(&server.url())?;

    // Once, at start: where events are stored, and for how long. Publishing never asks for it again.
    bus.topic("order.>").retain(Duration::from_secs(7 * 86_400)).ensure(Strategy::CreateOnly)?;

    // The name says who it is: after a restart it goes on where it stopped.
    let billing = bus
        .subscribe("billing")
        .on("order.created", |event: &Envelope| {
            println!("bill {}", event.aggregate_id());
        })
        .on("order.paid", |event: &Envelope| -> Result<(), std::io::Error> {
            println!("receipt for {}: {}", event.aggregate_id(), event.event_version());
            Ok(()) // an error would have it tried again, and the later events of this order wait
        })
        .start()?;

    for order in ["order-1", "order-2"] {
        let created = Envelope::new(order, "OrderCreated", r#"{"total":7}"#);
        let paid = Envelope::new(order, "OrderPaid", "{}").with_event_version(2);
        // Returns at once; each has a ticket that tells what became of it.
        let tickets = [bus.publish("order.created", &created)?, bus.publish("order.paid", &paid)?];
        for ticket in tickets {
            println!("{order} is stored at {}", ticket.wait()?.sequence);
        }
    }

    while billing.counts().handled < 4 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    // Handles and settles what is in flight, and gives back the rest.
    bus.close(Duration::from_secs(30))?;
    println!("done");
    Ok(())
}
