//! No text that a caller gives is ever more than it should be on the wire: all byte values in all places.

use std::time::Duration;

use jetlane_client::{Client, ConnectOptions, Headers, Subscription};
use jetlane_jetstream::JetStream;
use jetlane_testkit::{Direction, Proxy, Publisher, Server};
use jetlane_tests::DEADLINE;

/// Texts with a byte at the beginning, within, and at the end, and one that would be a PUB if the byte ended words or lines.
fn texts() -> impl Iterator<Item = String> {
    (0..=255).map(char::from).flat_map(|c| {
        [
            format!("{c}a"),
            format!("a{c}b"),
            format!("a{c}"),
            format!("a{c}0{c}{c}PUB{c}evil{c}0{c}{c}{c}"),
            format!("a 0\r\n\r\nPUB evil 0\r\n\r\n{c}"),
            format!("a{c}\r\nPUB evil 0\r\n\r\n"),
        ]
    })
}

/// Who hears what was smuggled, and what became of the texts.
struct Trial {
    server: Server,
    client: Client,
    witness: Client,
    evil: Subscription,
    accepted: usize,
    refused: usize,
}

impl Trial {
    fn start() -> Self {
        let server = Server::start().unwrap();
        let client = Client::connect(&server.url()).unwrap();
        let witness = Client::connect(&server.url()).unwrap();
        let evil = witness.subscribe("evil").unwrap();
        witness.flush().wait().unwrap();
        Self { server, client, witness, evil, accepted: 0, refused: 0 }
    }

    /// Lets `give` have each text in one place, and sees that nothing was smuggled.
    fn give(&mut self, place: &str, mut give: impl FnMut(&Client, &str) -> bool) {
        let (mut accepted, mut refused) = (0, 0);
        for text in texts() {
            match give(&self.client, &text) {
                true => accepted += 1,
                false => refused += 1,
            }
        }
        self.client.flush().wait().unwrap();
        self.witness.flush().wait().unwrap();
        let smuggled = std::iter::from_fn(|| self.evil.try_next()).count();
        println!(
            "S1: {place}: 256 bytes x 6 places, accepted {accepted}, refused {refused}, smuggled {smuggled}"
        );
        assert_eq!(smuggled, 0, "{place}");
        assert_eq!(self.client.stats().reconnects, 0, "{place}");
        (self.accepted, self.refused) = (self.accepted + accepted, self.refused + refused);
    }
}

/// S1.
#[test]
fn no_byte_in_any_text_smuggles_a_command() {
    let mut trial = Trial::start();
    let headers = Headers::new().with("K", "v").unwrap();
    trial.give("subject", |client, text| client.publish(text, "").is_ok());
    trial.give("subject, tried", |client, text| client.try_publish(text, "").is_ok());
    trial.give("subject, with headers", |client, text| {
        client.publish_with(text, None, &headers, "").is_ok()
    });
    trial.give("subject, in a batch", |client, text| {
        client.publish_batch([("good", ""), (text, "")]).is_ok()
    });
    trial.give("reply", |client, text| client.publish_with("a", Some(text), &headers, "").is_ok());
    trial.give("subject of a request", |client, text| {
        client.request(text, "", Duration::from_millis(1)).map(drop).is_ok()
    });
    trial.give("filter", |client, text| client.subscribe(text).is_ok());
    trial.give("queue group", |client, text| {
        client.subscription("q").queue_group(text).queued().is_ok()
    });
    trial.give("header name", |client, text| {
        let headers = Headers::new().with(text, "v");
        headers.is_ok_and(|headers| client.publish_with("h", None, &headers, "").is_ok())
    });
    trial.give("header value", |client, text| {
        let headers = Headers::new().with("K", text);
        headers.is_ok_and(|headers| client.publish_with("h", None, &headers, "").is_ok())
    });
    let js = JetStream::new(trial.client.clone()).unwrap();
    trial.give("stream name", |_, text| match js.stream_info(text).wait() {
        Ok(_) => true,
        Err(error) => !matches!(error, jetlane_jetstream::ApiError::Name(_)),
    });
    trial.give("consumer name", |_, text| match js.consumer_info("S", text).wait() {
        Ok(_) => true,
        Err(error) => !matches!(error, jetlane_jetstream::ApiError::Name(_)),
    });
    let log = trial.server.log().to_lowercase();
    assert!(!log.contains("parse") && !log.contains("unknown protocol"), "{log}");
    println!("S1: {} accepted, {} refused", trial.accepted, trial.refused);
}

/// The name in the CONNECT of the newest connection through `proxy`.
fn name_told(proxy: &Proxy) -> Option<String> {
    let sent = String::from_utf8(proxy.seen(Direction::ToServer)).ok()?;
    let connect = sent.split("\r\n").next()?.strip_prefix("CONNECT ")?;
    let fields: serde_json::Value = serde_json::from_str(connect).ok()?;
    Some(fields.get("name")?.as_str()?.to_owned())
}

/// S1.
#[test]
fn no_byte_in_a_name_or_an_inbox_prefix_or_a_reply_to_answer_smuggles_a_command() {
    let mut trial = Trial::start();
    let proxy = Proxy::start(trial.server.port()).unwrap();
    let connects = |options: ConnectOptions| {
        options.connect(&proxy.url()).is_ok_and(|client| {
            let asked = client.request("nobody", "", DEADLINE).map(|request| request.wait());
            assert!(asked.is_ok(), "a request is taken by a client that has connected");
            client.flush().wait().unwrap();
            assert_eq!(client.stats().reconnects, 0);
            true
        })
    };
    trial.give("client name", |_, text| {
        assert!(connects(ConnectOptions::new().name(text)), "a name may be any text: {text:?}");
        assert_eq!(name_told(&proxy).as_deref(), Some(text), "it is told as it was given");
        true
    });
    trial.give("inbox prefix", |_, text| connects(ConnectOptions::new().inbox_prefix(text)));
    answer_replies(&mut trial);
}

/// Answers what a publisher asks with replies of all bytes that the server lets through.
fn answer_replies(trial: &mut Trial) {
    let publisher = Publisher::connect(trial.server.port()).unwrap();
    let mut questions = trial.client.subscribe("ask").unwrap();
    trial.client.flush().wait().unwrap();
    let bytes: Vec<u8> = (0..=255).filter(|byte| !b" \t\r\n".contains(byte)).collect();
    for &byte in &bytes {
        let reply = [b"a", &[byte][..], b"b"].concat();
        publisher.send([b"PUB ask ", &reply[..], b" 0\r\n\r\n"].concat()).unwrap();
    }
    let (mut answered, mut refused) = (0, 0);
    for &byte in &bytes {
        let question = questions.next_timeout(DEADLINE).expect("it comes");
        let answer = trial.client.respond(&question, "x");
        // As for any other subject: a reply that is none is not answered.
        assert_eq!(answer.is_ok(), byte.is_ascii_graphic(), "a reply with {byte:#x}: {answer:?}");
        match answer {
            Ok(()) => answered += 1,
            Err(_) => refused += 1,
        }
    }
    trial.client.flush().wait().unwrap();
    trial.witness.flush().wait().unwrap();
    assert!(trial.evil.try_next().is_none());
    assert_eq!(trial.client.stats().reconnects, 0);
    println!(
        "S1: replies to answer: {} bytes, answered {answered}, refused {refused}",
        bytes.len()
    );
}
