//! A unit test of a service without a server: the bus in memory is the same bus, on a server in the process.
//!
//! Run it with `cargo run -p jetlane --features memory --example in_memory_test`.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jetlane::{Envelope, EventBus, Strategy, SubscribeError};

/// What is to be tested: it greets everybody who signs up, once.
struct Greeter {
    greeted: Arc<Mutex<Vec<String>>>,
}

impl Greeter {
    fn start(bus: &EventBus) -> Result<Self, SubscribeError> {
        let greeted = Arc::<Mutex<Vec<String>>>::default();
        let greetings = Arc::clone(&greeted);
        bus.subscribe("greeter")
            .on("user.signed_up", move |event: &Envelope| {
                greetings.lock().expect("no panic").push(format!("hello {}", event.aggregate_id()));
            })
            .start()?;
        Ok(Self { greeted })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let bus = EventBus::in_memory()?;
    bus.topic("user.>").ensure(Strategy::CreateOnly)?;
    let greeter = Greeter::start(&bus)?;
    let event = Envelope::new("ada", "SignedUp", "{}");
    bus.publish("user.signed_up", &event)?.wait()?;
    // The same event again, as after a lost ack: it is stored once, and handled once.
    assert!(bus.publish("user.signed_up", &event)?.wait()?.duplicate);
    bus.publish("user.signed_up", Envelope::new("bob", "SignedUp", "{}"))?.wait()?;

    let deadline = Instant::now() + Duration::from_secs(10);
    while greeter.greeted.lock().expect("no panic").len() < 2 {
        assert!(Instant::now() < deadline, "it greets");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    bus.close(Duration::from_secs(5))?;
    let mut greeted = greeter.greeted.lock().expect("no panic").clone();
    greeted.sort();
    assert_eq!(greeted, ["hello ada", "hello bob"]);
    println!("the greeter greets everybody once");
    Ok(())
}
