//! Everything that waits, as a future: what an application does, whatever runs it.

use std::io::Read as _;
use std::time::Duration;

use futures_lite::StreamExt as _;
use jetlane_client::{ConnectError, ConnectOptions, Event, Overflow};
use jetlane_testkit::Server;
use jetlane_tests::DEADLINE;

async fn all_of_it(url: String) {
    let nowhere = ConnectOptions::new().begin_connect("nats://127.0.0.1:1").await;
    assert!(matches!(nowhere, Err(ConnectError::Refused { .. })), "{nowhere:?}");
    let nothing = ConnectOptions::new().begin_connect("http://here").await;
    assert!(matches!(nothing, Err(ConnectError::Url { .. })), "{nothing:?}");
    let client = ConnectOptions::new().begin_connect(&url).await.unwrap();
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
    let drained = client.begin_drain(DEADLINE);
    assert!(newest.recv().await.is_none());
    assert_eq!(drained.await, Ok(()));
    assert_eq!(client.begin_close(DEADLINE).await, Ok(()), "it is closed already");
    let rest = events.boxed_local().collect::<Vec<_>>().await;
    assert_eq!(rest.last(), Some(&Event::Closed));
}

#[test]
fn a_connection_that_nobody_waits_for_is_given_up() {
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let mut connecting = ConnectOptions::new().connect_timeout(DEADLINE).begin_connect(&url);
    assert!(connecting.wait_timeout(Duration::from_millis(1)).is_none());
    let (mut socket, _) = silent.accept().unwrap();
    drop(connecting);
    socket.set_read_timeout(Some(DEADLINE / 2)).unwrap();
    assert_eq!(socket.read(&mut [0; 10]).unwrap(), 0, "it hangs up");
}

#[test]
fn under_tokio_smol_and_no_executor_at_all() {
    let server = Server::builder().without_jetstream().start().unwrap();
    let url = server.url();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(all_of_it(url.clone()));
    smol::block_on(all_of_it(url.clone()));
    pollster::block_on(all_of_it(url));
}
