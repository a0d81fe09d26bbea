use serde_json::{Value, json};

use super::Turn;
use crate::content::Content;

/// What is told about a consumer, or a stream.
#[derive(Debug)]
pub(super) struct Advisory<'a> {
    /// A part of its subject, such as `CONSUMER.MSG_NAKED`.
    pub(super) subject: &'a str,
    /// The end of its type, such as `consumer_msg_nak`.
    pub(super) kind: &'a str,
    pub(super) stream: &'a str,
    pub(super) consumer: Option<&'a str>,
    /// What else there is to tell: a JSON object.
    pub(super) more: Value,
}

impl Advisory<'_> {
    pub(super) fn send(self, turn: &mut Turn) {
        let Self { subject, kind, stream, consumer, more } = self;
        let wall = turn.now.wall;
        let mut body = json!({
            "type": format!("io.nats.jetstream.advisory.v1.{kind}"),
            // Unique among those of one time, and the time among all.
            "id": format!("{:016X}{:06}", wall.0, turn.out.len()),
            "timestamp": wall.text(),
            "stream": stream,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(consumer.map(|consumer| ("consumer".into(), consumer.into())));
            body.extend(more);
        }
        let mut to = format!("$JS.EVENT.ADVISORY.{subject}.{stream}");
        if let Some(consumer) = consumer {
            to.push('.');
            to.push_str(consumer);
        }
        turn.send(to.into(), Content::payload_only(body.to_string()));
    }
}
