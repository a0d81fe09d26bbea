//! Everything that waits, as a future: what an application does, whatever runs it.

use futures_lite::StreamExt as _;
use jetlane_client::{Client, Event, Overflow};
use jetlane_testkit::Server;
use jetlane_tests::DEADLINE;

async fn all_of_it(url: String) {
    let client = Client::connect(&url).unwrap();
    let mut greetings = client.subscribe("greet").unwrap();
    let mut events = client.events();
    client.flush().await.unwrap();
    client.rtt().await.unwrap();
    client.publish("greet", "1").unwrap();
    let message = greetings.recv().await.unwrap();
    assert_eq!(message.payload(), b"1");
    let request = client.request("greet", "2", DEADLINE).unwrap();
    let asked = greetings.recv().await.unwrap();
    client.respond(&asked, "answer").unwrap();
    assert_eq!(request.await.unwrap().payload(), b"answer");
    let mut many = client.request_many("greet", b"3").max_messages(1).send().unwrap();
    let asked = greetings.recv().await.unwrap();
    client.respond(&asked, "one").unwrap();
    assert_eq!(many.recv().await.unwrap().payload(), b"one");
    assert!(many.recv().await.is_none());
    let mut newest = client.subscription("new").overflow(Overflow::Conflate).queued().unwrap();
    client.publish("new", "x").unwrap();
    assert_eq!(newest.recv().await.unwrap().payload(), b"x");
    greetings.drain();
    assert!(greetings.recv().await.is_none());
    client.force_reconnect();
    while !matches!(events.recv().await.unwrap(), Event::Reconnected { .. }) {}
    client.close(DEADLINE).unwrap();
    let rest = events.boxed_local().collect::<Vec<_>>().await;
    assert_eq!(rest.last(), Some(&Event::Closed));
}

#[test]
fn under_tokio_smol_and_no_executor_at_all() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let url = server.url();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(all_of_it(url.clone()));
    smol::block_on(all_of_it(url.clone()));
    pollster::block_on(all_of_it(url));
}
