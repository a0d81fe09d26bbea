//! Events that are values of Rust types, in Protobuf: written, read and checked by their type, in whatever version they come.
//!
//! Run it with `cargo run -p jetlane --features prost --example typed_events`.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use jetlane::{Bytes, Envelope, Event, EventBus, Fault, Protobuf, Strategy};
use prost::Message;

/// As `prost-build` makes it of
///
/// ```text
/// message OrderCreated { string order = 1; uint64 cents = 2; }
/// ```
#[derive(Clone, PartialEq, Message)]
struct OrderCreated {
    #[prost(string, tag = "1")]
    order: String,
    #[prost(uint64, tag = "2")]
    cents: u64,
}

impl Event for OrderCreated {
    // What is stored with every event: it stays, whatever the type in Rust is called.
    const TYPE: &'static str = "OrderCreated";
    // Version 1 counted whole euros in the same field: who knows only that one would misread this one.
    const VERSION: i64 = 2;
    type Encoding = Protobuf;

    fn aggregate_id(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }

    fn from_older(_: i64, payload: &Bytes) -> Result<Self, Fault> {
        let mut created = Self::decode(payload.clone())?;
        created.cents *= 100;
        Ok(created)
    }
}

#[derive(Clone, PartialEq, Message)]
struct OrderPaid {
    #[prost(string, tag = "1")]
    order: String,
}

impl Event for OrderPaid {
    const TYPE: &'static str = "OrderPaid";
    type Encoding = Protobuf;

    fn aggregate_id(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = jetlane_testkit::Server::start()?;
    let bus = EventBus::connect(&server.url())?;
    bus.topic("order.>").ensure(Strategy::CreateOnly)?;

    // Each handler has the events of its type; what can not be read as that type is rejected, and no handler sees it.
    let billing = bus
        .subscribe("billing")
        .on_event("order.>", |created: OrderCreated, _: &Envelope| {
            println!("{} costs {} cents", created.order, created.cents);
        })
        .on_event("order.>", |paid: OrderPaid, envelope: &Envelope| {
            println!("{} is paid, says {:?}", paid.order, envelope.content_type());
        })
        .start()?;

    // What an older program has written, and what this one writes.
    let euros = OrderCreated { order: "order-1".into(), cents: 7 };
    let older = Envelope::of(&euros)?.with_event_version(1);
    bus.publish("order.created", older)?.wait()?;
    let created = OrderCreated { order: "order-2".into(), cents: 750 };
    bus.publish_event("order.created", &created)?.wait()?;
    bus.publish_event("order.paid", &OrderPaid { order: "order-2".into() })?.wait()?;
    // No value of the type that it says it is.
    bus.publish("order.paid", Envelope::new("order-3", "OrderPaid", "no Protobuf"))?.wait()?;

    while billing.counts().handled + billing.counts().rejected < 4 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!("{} handled, {} rejected", billing.counts().handled, billing.counts().rejected);
    bus.close(Duration::from_secs(10))?;
    Ok(())
}
