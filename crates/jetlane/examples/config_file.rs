//! A service that is set up by a file, and here and there by the environment.
//!
//! Run it with `cargo run -p jetlane --features config --example config_file`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use jetlane::{Config, Envelope, EventBus};

fn main() -> Result<(), Box<dyn Error>> {
    let server = jetlane_testkit::Server::start()?;

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/config_file.yaml");
    // A service says `EventBus::from_file(path)`, or `Config::from_file(path)?.with_env()?` to let the environment win. Here
    // the address of this example's server takes the place of a variable of the environment.
    let config = Config::from_file(path)?
        .with_env_vars([("JETLANE_EVENTBUS_NATS_URLS".to_string(), server.url())])?;
    // Connects, and ensures the topics that the file names.
    let bus = EventBus::from_config(&config)?;

    let billing = bus
        .subscribe("billing")
        .on("order.created", |event: &Envelope| println!("bill {}", event.aggregate_id()))
        .start()?;
    bus.publish("order.created", Envelope::new("order-1", "OrderCreated", "{}"))?.wait()?;
    while billing.counts().handled < 1 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    // What the server says of it.
    let stream = bus.jetstream().stream_info(billing.stream()).wait()?.config;
    let consumer = bus.jetstream().consumer_info(billing.stream(), billing.name()).wait()?.config;
    println!("events are kept for {:?}, at most {:?}", stream.max_age, stream.max_msgs);
    println!("an event is delivered again after {:?}", consumer.ack_wait);

    // A typing error is told, with what was meant.
    let error = Config::from_yaml(
        "eventbus:\n  nats:\n    jetstream:\n      consumer:\n        ack_wiat: 5s\n",
    );
    println!("{}", error.expect_err("there is no such key"));
    bus.close(Duration::from_secs(10))?;
    Ok(())
}
