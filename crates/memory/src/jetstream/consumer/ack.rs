use std::time::Duration;

use jetlane_proto::read_decimal;
use serde::Deserialize;
use serde_json::json;

use super::{AckPolicy, Consumer, Settled};
use crate::clock::later;
use crate::content::Content;
use crate::jetstream::{Request, Turn};
use crate::routes::Routes;

/// What a client says of a message that it got.
#[derive(Clone, Copy, Debug)]
pub(in crate::jetstream) struct Ack<'a> {
    pub(in crate::jetstream) stream: &'a str,
    pub(in crate::jetstream) consumer: &'a str,
    delivered: u64,
    stream_sequence: u64,
    consumer_sequence: u64,
    body: &'a [u8],
    reply: Option<&'a str>,
}

impl<'a> Ack<'a> {
    /// Reads what stands behind `$JS.ACK.`.
    pub(in crate::jetstream) fn read(tokens: &'a str, request: &Request<'a>) -> Option<Self> {
        let tokens: Vec<&str> = tokens.split('.').collect();
        let &[stream, consumer, delivered, stream_sequence, consumer_sequence, _time, _pending] =
            tokens.as_slice()
        else {
            return None;
        };
        let number = |text: &str| read_decimal(text.as_bytes());
        Some(Self {
            stream,
            consumer,
            delivered: number(delivered)?,
            stream_sequence: number(stream_sequence)?,
            consumer_sequence: number(consumer_sequence)?,
            body: request.content.payload(),
            reply: request.reply,
        })
    }
}

impl Consumer {
    /// Does what a client says of a message. Returns what is settled by it.
    pub(in crate::jetstream) fn settle(&mut self, ack: &Ack<'_>, turn: &mut Turn) -> Settled {
        self.heard = turn.now.instant;
        let (word, rest) = match ack.body.iter().position(|&byte| byte == b' ') {
            Some(space) => (&ack.body[..space], ack.body[space..].trim_ascii()),
            None => (ack.body, &[][..]),
        };
        let settled = match word {
            b"" | b"+ACK" | b"+OK" | b"+NXT" => self.acked(ack.stream_sequence),
            b"-NAK" => self.naked(ack, rest, turn),
            b"+WPI" => self.in_progress(ack.stream_sequence, turn),
            b"+TERM" => self.terminated(ack, rest, turn),
            _ => Settled::default(),
        };
        if word != b"+NXT" {
            turn.answer(ack.reply, Content::payload_only(b""));
        }
        settled
    }

    /// An ack may ask for more at once.
    pub(in crate::jetstream) fn pull_next(
        &mut self,
        ack: &Ack<'_>,
        routes: &Routes,
        turn: &mut Turn,
    ) {
        if let Some(request) = ack.body.strip_prefix(b"+NXT")
            && let Some(inbox) = ack.reply
        {
            self.pull(inbox, request, routes, turn);
        }
    }

    fn acked(&mut self, sequence: u64) -> Settled {
        let done: Vec<u64> = match self.config.ack_policy {
            AckPolicy::None => Vec::new(),
            AckPolicy::Explicit => {
                self.unacked.contains_key(&sequence).then_some(sequence).into_iter().collect()
            }
            AckPolicy::All => self.unacked.range(..=sequence).map(|(&done, _)| done).collect(),
        };
        for sequence in &done {
            self.unacked.remove(sequence);
            self.again.remove(sequence);
        }
        Settled(done)
    }

    fn naked(&mut self, ack: &Ack<'_>, rest: &[u8], turn: &mut Turn) -> Settled {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Nak {
            delay: u64,
        }
        let Some(unacked) = self.unacked.get_mut(&ack.stream_sequence) else {
            return Settled::default();
        };
        let Nak { delay } = serde_json::from_slice(rest).unwrap_or_default();
        unacked.due = Some(later(turn.now.instant, Duration::from_nanos(delay)));
        unacked.due.into_iter().for_each(|due| turn.remind(due));
        let more = json!({
            "stream_seq": ack.stream_sequence,
            "consumer_seq": ack.consumer_sequence,
            "deliveries": ack.delivered,
        });
        self.advise("MSG_NAKED", "consumer_msg_nak", more, turn);
        if delay == 0 {
            self.deliver_again(ack.stream_sequence, turn);
        }
        Settled::default()
    }

    fn in_progress(&mut self, sequence: u64, turn: &mut Turn) -> Settled {
        if let Some(unacked) = self.unacked.get_mut(&sequence)
            && unacked.due.is_some()
        {
            let wait = self.config.wait_for_ack(unacked.delivered);
            unacked.due = Some(later(turn.now.instant, wait));
        }
        Settled::default()
    }

    fn terminated(&mut self, ack: &Ack<'_>, reason: &[u8], turn: &mut Turn) -> Settled {
        let sequence = ack.stream_sequence;
        if self.unacked.remove(&sequence).is_none() {
            return Settled::default();
        }
        self.again.remove(&sequence);
        let mut more = json!({
            "stream_seq": sequence,
            "consumer_seq": ack.consumer_sequence,
            "deliveries": ack.delivered,
        });
        if !reason.is_empty() {
            more["reason"] = String::from_utf8_lossy(reason).into();
        }
        self.advise("MSG_TERMINATED", "consumer_terminated", more, turn);
        Settled(vec![sequence])
    }

    /// A message is to be delivered once more, or given up if that was often enough.
    pub(super) fn deliver_again(&mut self, sequence: u64, turn: &mut Turn) {
        let Some(unacked) = self.unacked.get_mut(&sequence) else { return };
        let delivered = unacked.delivered;
        unacked.due = None;
        if self.config.max_deliver().is_none_or(|most| delivered < most) {
            self.again.insert(sequence);
            return;
        }
        self.unacked.remove(&sequence);
        let more = json!({ "stream_seq": sequence, "deliveries": delivered });
        self.advise("MAX_DELIVERIES", "max_deliver", more, turn);
    }
}
