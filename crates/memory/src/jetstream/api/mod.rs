//! The API of JetStream: requests to `$JS.API.…`.

mod consumers;
mod direct;
mod messages;
mod pages;
mod streams;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::Refusal;
use super::stream::Stream;
use super::{Handled, JetStream, Request, Turn};
use crate::content::Content;
use crate::routes::Routes;

/// What an answer has besides its type.
type Answer = Result<Map<String, Value>, Refusal>;

/// Requests that only a nats-server can do.
const UNSUPPORTED: [&str; 13] = [
    "STREAM.SNAPSHOT.",
    "STREAM.RESTORE.",
    "STREAM.PEER.",
    "STREAM.LEADER.",
    "STREAM.CANCEL_MOVE.",
    "CONSUMER.LEADER.",
    "CONSUMER.RESET.",
    "CONSUMER.UNPIN.",
    "CONSUMER.PEER.",
    "META.",
    "SERVER.",
    "ACCOUNT.",
    "STREAM.TEMPLATE.",
];

/// A request to the API, and all that is needed to do it.
struct Call<'a> {
    body: &'a [u8],
    routes: &'a Routes,
    turn: &'a mut Turn,
}

impl JetStream {
    /// `call` is what stands behind `$JS.API.`.
    pub(super) fn api(
        &mut self,
        call: &str,
        request: &Request<'_>,
        routes: &Routes,
        turn: &mut Turn,
    ) -> Handled {
        let tokens: Vec<&str> = call.split('.').collect();
        if let ["CONSUMER", "MSG", "NEXT", stream, consumer] = *tokens {
            return self.pull(stream, consumer, request, routes, turn);
        }
        if let ["DIRECT", "GET", stream, ref subject @ ..] = *tokens {
            return self.direct_get(stream, &subject.join("."), request, turn);
        }
        let mut call_made = Call { body: request.content.payload(), routes, turn };
        let Some((kind, answer)) = self.call(call, &tokens, &mut call_made) else {
            // A nats-server takes it, and says nothing.
            return Handled::Yes;
        };
        self.api_total += 1;
        let mut fields = answer.unwrap_or_else(|refusal| {
            self.api_errors += 1;
            Map::from_iter([("error".into(), refusal.to_json())])
        });
        fields.insert("type".into(), format!("io.nats.jetstream.api.v1.{kind}_response").into());
        turn.answer(request.reply, Content::payload_only(Value::from(fields).to_string()));
        Handled::Yes
    }

    fn call(
        &mut self,
        call: &str,
        tokens: &[&str],
        with: &mut Call<'_>,
    ) -> Option<(&'static str, Answer)> {
        Some(match *tokens {
            ["INFO"] => ("account_info", Ok(self.account())),
            ["STREAM", "NAMES"] => ("stream_names", self.stream_names(with)),
            ["STREAM", "LIST"] => ("stream_list", self.stream_list(with)),
            ["STREAM", "CREATE", name] => ("stream_create", self.create_stream(name, with)),
            ["STREAM", "UPDATE", name] => ("stream_update", self.update_stream(name, with)),
            ["STREAM", "INFO", name] => ("stream_info", self.stream_info(name, with)),
            ["STREAM", "DELETE", name] => ("stream_delete", self.delete_stream(name, with)),
            ["STREAM", "PURGE", name] => ("stream_purge", self.purge_stream(name, with)),
            ["STREAM", "MSG", "GET", name] => ("stream_msg_get", self.get_message(name, with)),
            ["STREAM", "MSG", "DELETE", name] => {
                ("stream_msg_delete", self.delete_message(name, with))
            }
            ["CONSUMER", "NAMES", stream] => ("consumer_names", self.consumer_names(stream, with)),
            ["CONSUMER", "LIST", stream] => ("consumer_list", self.consumer_list(stream, with)),
            ["CONSUMER", "INFO", stream, name] => {
                ("consumer_info", self.consumer_info(stream, name, with))
            }
            ["CONSUMER", "DELETE", stream, name] => {
                ("consumer_delete", self.delete_consumer(stream, name, with))
            }
            ["CONSUMER", "PAUSE", stream, name] => {
                ("consumer_pause", self.pause_consumer(stream, name, with))
            }
            ["CONSUMER", "DURABLE", "CREATE", stream, name]
            | ["CONSUMER", "CREATE", stream, name] => {
                ("consumer_create", self.create_consumer(stream, Some(name), None, with))
            }
            ["CONSUMER", "CREATE", stream] => {
                ("consumer_create", self.create_consumer(stream, None, None, with))
            }
            ["CONSUMER", "CREATE", stream, name, ref filter @ ..] => {
                let filter = filter.join(".");
                ("consumer_create", self.create_consumer(stream, Some(name), Some(&filter), with))
            }
            _ if UNSUPPORTED.iter().any(|prefix| call.starts_with(prefix)) => {
                ("unsupported", Err(Refusal::not_supported(call)))
            }
            _ => return None,
        })
    }

    fn account(&self) -> Map<String, Value> {
        let consumers: usize = self.streams.values().map(|stream| stream.consumers.len()).sum();
        let bytes: u64 = self.streams.values().map(|stream| stream.store.bytes()).sum();
        fields(json!({
            "memory": bytes,
            "storage": 0,
            "reserved_memory": 0,
            "reserved_storage": 0,
            "streams": self.streams.len(),
            "consumers": consumers,
            "limits": {
                "max_memory": -1,
                "max_storage": -1,
                "max_streams": -1,
                "max_consumers": -1,
                "max_ack_pending": -1,
                "memory_max_stream_bytes": -1,
                "storage_max_stream_bytes": -1,
                "max_bytes_required": false,
            },
            "api": { "level": 5, "total": self.api_total, "errors": self.api_errors },
        }))
    }

    fn stream(&mut self, name: &str) -> Result<&mut Stream, Refusal> {
        self.streams.get_mut(name).ok_or_else(Refusal::no_stream)
    }
}

/// The body as JSON; the default if it is empty.
fn read<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    match body.trim_ascii() {
        b"" => Ok(T::default()),
        body => serde_json::from_slice(body).map_err(Refusal::bad_json),
    }
}

/// The fields of a JSON object.
fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn success() -> Map<String, Value> {
    fields(json!({ "success": true }))
}
