use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use jetlane_client::{Message, Request, RequestError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ApiError;
use crate::error::{Names, WireError};

/// How an answer is read.
type Read<T> = fn(&Message, &Names) -> Result<T, ApiError>;

/// A request to the JetStream API that was sent: a `Future`, and `wait` for plain threads.
#[must_use = "it is not known to have worked before it is waited for"]
pub struct ApiCall<T> {
    /// The request; or why it was never sent, until that was told.
    request: Result<Request, Option<ApiError>>,
    names: Names,
    read: Read<T>,
    /// What it means that nobody listens.
    unheard: fn(&Names) -> ApiError,
}

impl<T: DeserializeOwned> ApiCall<T> {
    /// A call that is answered in JSON.
    pub(crate) fn new(request: Result<Request, ApiError>, names: Names) -> Self {
        Self::reading(request, names, read_json)
    }
}

impl<T> ApiCall<T> {
    /// A call whose answer `read` understands.
    pub(crate) fn reading(request: Result<Request, ApiError>, names: Names, read: Read<T>) -> Self {
        Self { request: request.map_err(Some), names, read, unheard: |_| ApiError::NotAvailable }
    }

    /// Says what it means that nobody listens. Unless told otherwise, that JetStream is not available.
    pub(crate) fn unheard(self, unheard: fn(&Names) -> ApiError) -> Self {
        Self { unheard, ..self }
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

    /// The answer, if it has come and was not taken yet.
    ///
    /// # Errors
    /// As [`ApiCall::wait`].
    pub fn try_take(&mut self) -> Option<Result<T, ApiError>> {
        match &mut self.request {
            Ok(request) => request.try_take().map(|answer| self.answered(answer)),
            Err(error) => error.take().map(Err),
        }
    }

    fn answered(&self, answer: Result<Message, RequestError>) -> Result<T, ApiError> {
        let message = answer.map_err(|error| match error {
            RequestError::NoResponders => (self.unheard)(&self.names),
            other => ApiError::Request(other),
        })?;
        (self.read)(&message, &self.names)
    }
}

/// Reads an answer in JSON, or the error in it.
pub(crate) fn read_json<T: DeserializeOwned>(
    message: &Message,
    names: &Names,
) -> Result<T, ApiError> {
    let failed: Failed = serde_json::from_slice(message.payload()).map_err(malformed)?;
    match failed.error {
        Some(error) => Err(error.explain(names)),
        None => serde_json::from_slice(message.payload()).map_err(malformed),
    }
}

/// For what can not be read, whatever reads it.
pub(crate) fn malformed(reason: impl fmt::Display) -> ApiError {
    ApiError::Malformed { reason: reason.to_string() }
}

#[derive(Deserialize)]
struct Failed {
    error: Option<WireError>,
}

impl<T> Future for ApiCall<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.request {
            Ok(request) => Pin::new(request).poll(cx).map(|answer| self.answered(answer)),
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
