use jetlane_client::proto::{encode, read_decimal};
use jetlane_client::{Inbox, MessageRef};
use serde::Deserialize;

use super::gate::Answer;
use crate::ClusterInfo;
use crate::consumer::SequencePair;

/// Where pulls are sent, and where their statuses come back: `_INBOX.<id>.<pull>`. And where the consumer's state is asked
/// for, and the answer comes to: `_INBOX.<id>.I<question>`.
#[derive(Debug)]
pub(super) struct PullInbox {
    inbox: Inbox,
    /// `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`
    next_subject: Vec<u8>,
    /// `$JS.API.CONSUMER.INFO.<stream>.<consumer>`
    info_subject: Vec<u8>,
    home: Home,
}

/// What came to the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// A status of this pull.
    Status(u64),
    /// The answer to this question.
    Answer(u64),
}

/// The last token of where answers go begins with it, that of statuses with a digit.
const QUESTION: u8 = b'I';

impl PullInbox {
    pub(super) fn new(inbox: Inbox, stream: &str, consumer: &str, home: Home) -> Self {
        let next_subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into_bytes();
        let info_subject = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}").into_bytes();
        Self { inbox, next_subject, info_subject, home }
    }

    pub(super) fn filter(&self) -> String {
        self.inbox.filter()
    }

    pub(super) fn prefix(&self) -> &[u8] {
        self.inbox.prefix()
    }

    /// Where pulls are sent to.
    pub(super) fn next_subject(&self) -> &[u8] {
        &self.next_subject
    }

    /// Where questions are sent to.
    pub(super) fn info_subject(&self) -> &[u8] {
        &self.info_subject
    }

    /// Where the statuses of a pull go.
    pub(super) fn status_subject(&self, pull: u64, subject: &mut Vec<u8>) {
        subject.clear();
        subject.extend_from_slice(self.inbox.prefix());
        encode::decimal(subject, pull);
    }

    /// Where the answer to a question goes.
    pub(super) fn answer_subject(&self, question: u64, subject: &mut Vec<u8>) {
        subject.clear();
        subject.extend_from_slice(self.inbox.prefix());
        subject.push(QUESTION);
        encode::decimal(subject, question);
    }

    /// Reads the answer to a question; if the server knows nothing, what to make of that.
    pub(super) fn read_answer(&self, message: &MessageRef<'_>) -> Result<Known, Answer> {
        read_answer(message, self.home)
    }

    /// What a message is if it came to us. Those of the stream have the subject they were published to, never ours.
    pub(super) fn mail(&self, subject: &[u8]) -> Option<Mail> {
        let token = subject.strip_prefix(self.inbox.prefix())?;
        match token.strip_prefix(&[QUESTION]) {
            Some(number) => read_decimal(number).map(Mail::Answer),
            None => read_decimal(token).map(Mail::Status),
        }
    }
}

/// What the server knows of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// How many messages it has delivered that are not acknowledged.
    pub(super) pending: usize,
    /// How far it has delivered.
    pub(super) delivered: SequencePair,
}

/// Where a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    OneServer,
    /// Every answer names the leader of the consumer. One that starts and does not know the consumer yet answers, too, but with nothing in it.
    Cluster,
}

fn read_answer(message: &MessageRef<'_>, home: Home) -> Result<Known, Answer> {
    // No responders: JetStream is not there, or not yet.
    if message.headers().is_some_and(|headers| headers.status().is_some()) {
        return Err(Answer::Unavailable);
    }
    match serde_json::from_slice(message.payload()) {
        // A server that starts may not know the consumer yet, and of one that is down others say that it is offline. If it is gone, the
        // pulls are told so.
        Ok(State { error: Some(Refusal { code: 404 | 500.. }), .. }) | Err(_) => {
            Err(Answer::Unavailable)
        }
        Ok(State { error: Some(_), .. }) => Err(Answer::Refused),
        Ok(State { cluster, .. })
            if home == Home::Cluster
                && cluster.as_ref().is_none_or(|known| known.leader.is_empty()) =>
        {
            Err(Answer::Unavailable)
        }
        Ok(State { delivered: None, .. }) => Err(Answer::Unavailable),
        Ok(State { num_ack_pending, delivered: Some(delivered), .. }) => {
            let pending = usize::try_from(num_ack_pending).unwrap_or(usize::MAX);
            Ok(Known { pending, delivered })
        }
    }
}

/// The little of the consumer's state that matters here.
#[derive(Deserialize)]
struct State {
    #[serde(default)]
    num_ack_pending: u64,
    delivered: Option<SequencePair>,
    cluster: Option<ClusterInfo>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_answers_are_told_apart() {
        let inbox = PullInbox::new(Inbox::new(), "S", "C", Home::OneServer);
        let mut subject = Vec::new();
        inbox.status_subject(17, &mut subject);
        assert_eq!(inbox.mail(&subject), Some(Mail::Status(17)));
        inbox.answer_subject(17, &mut subject);
        assert_eq!(inbox.mail(&subject), Some(Mail::Answer(17)));
        for other in ["", "x", "I", "Ix", "1I"] {
            let subject = [inbox.prefix(), other.as_bytes()].concat();
            assert_eq!(inbox.mail(&subject), None, "{other}");
        }
        assert_eq!(inbox.mail(b"s.17"), None);
    }

    #[test]
    fn answers() {
        let delivered = SequencePair { consumer_seq: 99, stream_seq: 77 };
        let known = |pending| Ok(Known { pending, delivered });
        let of = |more: &str| {
            format!(r#"{{"name":"C","delivered":{{"consumer_seq":99,"stream_seq":77}}{more}}}"#)
        };
        let error = |code| format!(r#"{{"error":{{"code":{code},"err_code":10014}}}}"#);
        let [unavailable, refused] = [Answer::Unavailable, Answer::Refused].map(Err);
        // (headers, body, of one server, of a cluster)
        for (headers, body, alone, clustered) in [
            ("", of(r#","num_ack_pending":12"#), known(12), unavailable),
            ("", of(""), known(0), unavailable),
            ("", of(r#","cluster":{"name":"N","leader":"n1"}"#), known(0), known(0)),
            ("", of(r#","cluster":{"name":"N"}"#), known(0), unavailable),
            ("", r#"{"name":"C","num_ack_pending":0}"#.into(), unavailable, unavailable),
            ("", error(403), refused, refused),
            ("", error(404), unavailable, unavailable),
            ("", error(500), unavailable, unavailable),
            ("", error(503), unavailable, unavailable),
            ("", "what?".into(), unavailable, unavailable),
            ("NATS/1.0 503\r\n\r\n", String::new(), unavailable, unavailable),
        ] {
            let (head, whole) = (headers.len(), headers.len() + body.len());
            let frame = match head {
                0 => format!("MSG i 1 {whole}\r\n{body}\r\n"),
                _ => format!("HMSG i 1 {head} {whole}\r\n{headers}{body}\r\n"),
            };
            let message = MessageRef::read(frame.as_bytes()).unwrap();
            for (home, expected) in [(Home::OneServer, alone), (Home::Cluster, clustered)] {
                assert_eq!(read_answer(&message, home), expected, "{home:?} {headers:?} {body}");
            }
        }
    }
}
