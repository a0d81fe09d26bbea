use jetlane_client::RequestError;
use jetlane_client::proto::NameError;
use serde::Deserialize;

/// Why the JetStream API did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// A stream or consumer name that can not be one. The caller's fault.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The stream does not exist (error 10059).
    #[error("the stream {stream:?} does not exist: create it first")]
    StreamNotFound {
        /// Its name.
        stream: String,
    },
    /// The consumer does not exist (errors 10014, 10149).
    #[error("the stream {stream:?} has no consumer {consumer:?}: create it first")]
    ConsumerNotFound {
        /// The stream's name.
        stream: String,
        /// The consumer's name.
        consumer: String,
    },
    /// The message does not exist: never stored, deleted, or none of that subject (errors 10037 and 10043, or status 404 of a direct get).
    #[error("the stream {stream:?} has no such message")]
    MessageNotFound {
        /// The stream's name.
        stream: String,
    },
    /// Nobody answers direct gets of the stream: it does not exist, or its `allow_direct` is off. [`crate::JetStream::get_message`] asks
    /// the stream's leader instead.
    #[error("the stream {stream:?} allows no direct get, or does not exist")]
    NoDirectGet {
        /// The stream's name.
        stream: String,
    },
    /// A stream of that name has another config (error 10058).
    #[error("the stream {stream:?} exists with another config: update it, or take another name")]
    StreamExists {
        /// The stream's name.
        stream: String,
    },
    /// A consumer of that name has another config (errors 10148, 10013, 10105).
    #[error("the stream {stream:?} has a consumer {consumer:?} with another config: update it")]
    ConsumerExists {
        /// The stream's name.
        stream: String,
        /// The consumer's name.
        consumer: String,
    },
    /// The stream is sealed: nothing in it changes any more (error 10109).
    #[error("the stream {stream:?} is sealed")]
    Sealed {
        /// The stream's name.
        stream: String,
    },
    /// It can not be done now, as while no leader is elected (10008), or while the server has too much to do (10167, 10210, 10211).
    /// Asking again later may work.
    #[error("not now: {description} (error {error_code})")]
    Unavailable {
        /// The server's own error number.
        error_code: u32,
        /// The server's text.
        description: String,
    },
    /// Storage, memory, or the account's limits do not suffice (errors 10047, 10028, 10023). The operator's to change.
    #[error("the server has no room: {description} (error {error_code})")]
    NoResources {
        /// The server's own error number.
        error_code: u32,
        /// The server's text.
        description: String,
    },
    /// The server is too old for what was asked: it knows no such field (error 10025), or has a lower API level (10185).
    #[error("the server does not know what was asked: {description} (error {error_code})")]
    NotSupported {
        /// The server's own error number.
        error_code: u32,
        /// The server's text.
        description: String,
    },
    /// JetStream is off for the server or the account (errors 10076, 10039), or nobody answers its API.
    #[error(
        "JetStream is not available: start nats-server with -js, and enable it for the account"
    )]
    NotAvailable,
    /// The server refused for another reason.
    #[error("the server refused: {description} (code {code}, error {error_code})")]
    Rejected {
        /// HTTP-like code.
        code: u16,
        /// The server's own error number; stable, unlike the text.
        error_code: u32,
        /// The server's text.
        description: String,
    },
    /// No answer came.
    #[error("the JetStream API did not answer")]
    Request(#[source] RequestError),
    /// The answer could not be read. The server's fault, or ours.
    #[error("the answer of the JetStream API can not be read: {reason}")]
    Malformed {
        /// What the JSON reader said.
        reason: String,
    },
}

/// What a call is about, for its errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) stream: String,
    pub(crate) consumer: String,
}

/// An error as the API writes it.
#[derive(Deserialize)]
pub(crate) struct WireError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl WireError {
    /// What it means for a call about `names`. Told by number: the text is not stable.
    pub(crate) fn explain(self, names: &Names) -> ApiError {
        let Self { code, err_code: error_code, description } = self;
        let Names { stream, consumer } = names.clone();
        match error_code {
            10059 => ApiError::StreamNotFound { stream },
            10014 | 10149 => ApiError::ConsumerNotFound { stream, consumer },
            10037 | 10043 => ApiError::MessageNotFound { stream },
            10058 => ApiError::StreamExists { stream },
            10013 | 10105 | 10148 => ApiError::ConsumerExists { stream, consumer },
            10109 => ApiError::Sealed { stream },
            10008 | 10167 | 10210 | 10211 => ApiError::Unavailable { error_code, description },
            10023 | 10028 | 10047 => ApiError::NoResources { error_code, description },
            10025 | 10185 => ApiError::NotSupported { error_code, description },
            10039 | 10076 => ApiError::NotAvailable,
            _ => ApiError::Rejected { code, error_code, description },
        }
    }
}
