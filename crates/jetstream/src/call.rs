//! How requests to the API are sent.

use jetlane_client::Request;
use jetlane_client::proto::check_name;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::malformed;
use crate::context::Patience;
use crate::error::Names;
use crate::{ApiCall, ApiError, JetStream};

impl JetStream {
    pub(crate) fn stream_call<T: DeserializeOwned>(
        &self,
        verb: &str,
        stream: &str,
        ask: &impl Serialize,
    ) -> ApiCall<T> {
        let names = Names { stream: stream.into(), ..Names::default() };
        self.call(format!("$JS.API.STREAM.{verb}.{stream}"), ask, names, &[stream])
    }

    pub(crate) fn consumer_call<T: DeserializeOwned>(
        &self,
        verb: &str,
        stream: &str,
        consumer: &str,
        ask: &impl Serialize,
    ) -> ApiCall<T> {
        let names = Names { stream: stream.into(), consumer: consumer.into() };
        let subject = format!("$JS.API.CONSUMER.{verb}.{stream}.{consumer}");
        self.call(subject, ask, names, &[stream, consumer])
    }

    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        subject: String,
        ask: &impl Serialize,
        names: Names,
        must_be_names: &[&str],
    ) -> ApiCall<T> {
        ApiCall::new(self.ask(&subject, ask, must_be_names), names)
    }

    /// Sends a request with a body in JSON, if all of `must_be_names` can be names.
    pub(crate) fn ask(
        &self,
        subject: &str,
        ask: &impl Serialize,
        must_be_names: &[&str],
    ) -> Result<Request, ApiError> {
        must_be_names.iter().try_for_each(|name| check_name(name))?;
        let body = serde_json::to_vec(ask).map_err(malformed)?;
        let timeout = self.options().api_timeout;
        let request = match self.patience {
            Patience::Wait => self.client().request(subject, body, timeout),
            Patience::Fail => self.client().try_request(subject, body, timeout),
        };
        request.map_err(ApiError::Request)
    }
}

/// A request without a body to speak of.
#[derive(Serialize)]
pub(crate) struct Nothing {}
