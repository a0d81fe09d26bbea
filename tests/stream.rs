//! A server with one stream, and what many tests do with it.
//!
//! All of it panics when something fails, as tests do.

use std::time::Duration;

use jetlane_client::Client;
use jetlane_jetstream::{
    AckPolicy, ConsumerConfig, ConsumerInfo, JetStream, Messages, StreamConfig,
};
use jetlane_testkit::{Direction, Proxy, Server};

use crate::place::{Place, Started};
use crate::{DEADLINE, eventually};

/// JetStream on a connection of its own.
pub fn jetstream(server: &Server) -> JetStream {
    JetStream::new(Client::connect(&server.url()).unwrap()).unwrap()
}

/// A server, and JetStream on it with a stream `S` of the subjects `s.>`.
pub fn with_stream() -> (Server, JetStream) {
    let server = Server::start().unwrap();
    let js = jetstream(&server);
    js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
    (server, js)
}

/// The same on a server of this kind.
pub fn with_stream_at(place: Place) -> (Started, JetStream) {
    let server = place.start();
    let js = JetStream::new(Client::connect(&server.url()).unwrap()).unwrap();
    js.create_stream(&StreamConfig::new("S").subject("s.>")).wait().unwrap();
    (server, js)
}

/// Publishes 1 to `count`, and sees that they are stored in order.
pub fn publish_numbers(js: &JetStream, count: u64) {
    let tickets: Vec<_> = (1..=count).map(|n| js.publish("s.n", n.to_string()).unwrap()).collect();
    for (n, ticket) in (1..).zip(tickets) {
        assert_eq!(ticket.wait().unwrap().sequence, n);
    }
}

/// A consumer `C` that gives up on a message after a second.
pub fn impatient_consumer(js: &JetStream, policy: AckPolicy) -> ConsumerInfo {
    let config = ConsumerConfig::durable("C").ack(policy).ack_wait(Duration::from_secs(1));
    js.create_or_update_consumer("S", &config).wait().unwrap()
}

/// Publishes and waits, one by one.
pub fn publish_more(js: &JetStream, count: usize) {
    for _ in 0..count {
        js.publish("s.n", "x").unwrap().wait().unwrap();
    }
}

/// How many messages of the stream a deaf proxy has lost.
pub fn swallowed(proxy: &Proxy) -> usize {
    proxy.lost_lines(Direction::ToClient, "MSG s.n ")
}

/// Acknowledges messages up to `last`, none of which may be skipped, coming from `from`.
pub fn handle_in_order(messages: &mut Messages, from: u64, last: u64, case: &str) {
    let mut handled = from;
    while handled < last {
        let message =
            messages.next_timeout(DEADLINE).unwrap_or_else(|| panic!("{case}: {handled}"));
        let sequence = message.delivery().stream_sequence;
        assert!(sequence <= handled + 1, "{case}: {sequence} after {handled}");
        handled = handled.max(sequence);
        message.ack();
    }
}

/// Waits until the consumer `C` has everything up to `last` acknowledged.
pub fn all_acknowledged(js: &JetStream, last: u64) {
    eventually("all is acknowledged", || {
        let info = js.consumer_info("S", "C").wait().unwrap();
        (info.num_ack_pending == 0 && info.ack_floor.stream_seq == last).then_some(())
    });
}
