use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use jetlane_client::proto::NameError;
use jetlane_client::{Message, Request, RequestError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    /// The consumer does not exist (error 10014).
    #[error("the stream {stream:?} has no consumer {consumer:?}: create it first")]
    ConsumerNotFound {
        /// The stream's name.
        stream: String,
        /// The consumer's name.
        consumer: String,
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

/// A request to the JetStream API that was sent: a `Future`, and `wait` for plain threads.
#[must_use = "it is not known to have worked before it is waited for"]
pub struct ApiCall<T> {
    /// The request; or why it was never sent, until that was told.
    request: Result<Request, Option<ApiError>>,
    names: Names,
    read: PhantomData<fn() -> T>,
}

/// What the call is about, for its errors.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) stream: String,
    pub(crate) consumer: String,
}

impl<T: DeserializeOwned> ApiCall<T> {
    pub(crate) fn new(request: Result<Request, ApiError>, names: Names) -> Self {
        Self { request: request.map_err(Some), names, read: PhantomData }
    }

    /// Sleeps until the answer is there, for the API timeout at most.
    ///
    /// # Errors
    /// [`ApiError`] says why it did not work.
    pub fn wait(self) -> Result<T, ApiError> {
        jetlane_ring::wait(self)
    }

    /// Sleeps until the answer is there or `timeout` has passed; then `None`, and it may still be waited for.
    ///
    /// # Errors
    /// As [`ApiCall::wait`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, ApiError>> {
        jetlane_ring::wait_timeout(self, timeout)
    }

    fn read(&self, answer: Result<Message, RequestError>) -> Result<T, ApiError> {
        let message = answer.map_err(|error| match error {
            RequestError::NoResponders => ApiError::NotAvailable,
            other => ApiError::Request(other),
        })?;
        let malformed =
            |error: serde_json::Error| ApiError::Malformed { reason: error.to_string() };
        let failed: Failed = serde_json::from_slice(message.payload()).map_err(malformed)?;
        match failed.error {
            Some(error) => Err(self.explain(error)),
            None => serde_json::from_slice(message.payload()).map_err(malformed),
        }
    }

    fn explain(&self, error: WireError) -> ApiError {
        let Names { stream, consumer } = &self.names;
        match error.err_code {
            10059 => ApiError::StreamNotFound { stream: stream.clone() },
            10014 => {
                ApiError::ConsumerNotFound { stream: stream.clone(), consumer: consumer.clone() }
            }
            10039 | 10076 => ApiError::NotAvailable,
            error_code => {
                ApiError::Rejected { code: error.code, error_code, description: error.description }
            }
        }
    }
}

#[derive(Deserialize)]
struct Failed {
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl<T: DeserializeOwned> Future for ApiCall<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.request {
            Ok(request) => Pin::new(request).poll(cx).map(|answer| self.read(answer)),
            Err(error) => {
                let error = error.take().expect("an API call is not polled after it was ready");
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T> fmt::Debug for ApiCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiCall").field("names", &self.names).finish_non_exhaustive()
    }
}
