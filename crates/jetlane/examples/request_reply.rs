//! Requests and replies beside events, on the same connection: the layer below the bus is a whole NATS client.
//!
//! Run it with `cargo run -p jetlane --example request_reply`.

use std::error::Error;
use std::thread;
use std::time::Duration;

use jetlane::EventBus;

fn main() -> Result<(), Box<dyn Error>> {
    let server = jetlane_testkit::Server::start()?;

    // Who answers: as many as you like, one of the group gets each request.
    let service = EventBus::connect(&server.url())?;
    let requests = service.client().subscription("price.get").queue_group("prices").queued()?;
    let answering = thread::spawn({
        let client = service.client().clone();
        move || {
            for request in requests {
                let article = String::from_utf8_lossy(request.payload()).into_owned();
                client.respond(&request, format!("{article} costs {}", article.len())).ok();
            }
        }
    });

    let bus = EventBus::connect(&server.url())?;
    // Who answers must be known to the server before anybody asks; else the request ends at once, with `NoResponders`.
    service.client().flush().wait()?;
    let reply = bus.client().request("price.get", "tea", Duration::from_secs(2))?.wait()?;
    println!("{}", String::from_utf8_lossy(reply.payload()));

    let nobody = bus.client().request("price.set", "tea", Duration::from_secs(2))?.wait();
    println!("{}", nobody.expect_err("nobody is there"));

    bus.close(Duration::from_secs(5))?;
    service.close(Duration::from_secs(5))?;
    answering.join().expect("it ends with its connection");
    Ok(())
}
