use std::fmt::Display;

use serde_json::{Value, json};

/// Why a request was refused, with the numbers of a nats-server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: u16,
    number: u32,
    description: String,
}

impl Refusal {
    pub(crate) fn new(code: u16, number: u32, description: impl Into<String>) -> Self {
        Self { code, number, description: description.into() }
    }

    /// What only a nats-server can do. It has the number of a nats-server that is too old for something.
    pub(crate) fn not_supported(what: impl Display) -> Self {
        Self::new(501, 10185, format!("not supported by the server in memory: {what}"))
    }

    pub(crate) fn no_stream() -> Self {
        Self::new(404, 10059, "stream not found")
    }

    pub(crate) fn no_consumer() -> Self {
        Self::new(404, 10014, "consumer not found")
    }

    pub(crate) fn no_message() -> Self {
        Self::new(404, 10037, "no message found")
    }

    pub(crate) fn bad_request() -> Self {
        Self::new(400, 10003, "bad request")
    }

    pub(crate) fn sealed() -> Self {
        Self::new(400, 10109, "invalid operation on sealed stream")
    }

    pub(crate) fn bad_json(reason: impl Display) -> Self {
        Self::new(400, 10025, format!("invalid JSON: {reason}"))
    }

    /// The config of a stream does not make sense.
    pub(crate) fn bad_stream(reason: impl Into<String>) -> Self {
        Self::new(500, 10052, reason)
    }

    pub(crate) fn to_json(&self) -> Value {
        let Self { code, number, description } = self;
        json!({ "code": code, "err_code": number, "description": description })
    }
}
