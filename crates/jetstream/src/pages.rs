//! Lists that an answer has only a part of: 1024 names, or 256 infos (ADR-1).

use std::fmt;
use std::vec;

use jetlane_client::proto::check_name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Names;
use crate::{ApiCall, ApiError, ConsumerInfo, JetStream, StreamInfo, wire};

/// A list of the API, read page by page as it is needed. It blocks for each page, for the API timeout at most, and ends behind the first
/// error.
///
/// What is created or deleted meanwhile may be in it twice or not at all. It ends when as many entries were read as the last page said
/// there are, or with a page that has none; `take` bounds it further.
pub struct Pages<T> {
    js: JetStream,
    subject: String,
    /// The filter, if the list has one.
    filter: String,
    names: Names,
    page: vec::IntoIter<T>,
    /// How many entries were read.
    offset: u64,
    /// How many entries there are; unknown before the first page.
    total: Option<u64>,
    /// Why the list could not be asked for, until that was told.
    refused: Option<ApiError>,
}

/// A page, whatever it lists.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    #[serde(default)]
    total: u64,
    #[serde(
        default,
        alias = "streams",
        alias = "consumers",
        deserialize_with = "wire::or_default"
    )]
    entries: Vec<T>,
}

#[derive(Serialize)]
struct Ask<'a> {
    offset: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
}

impl<T: DeserializeOwned> Pages<T> {
    fn new(js: &JetStream, what: &str, stream: Option<&str>, filter: &str) -> Self {
        let (subject, refused) = match stream {
            Some(stream) => {
                (format!("$JS.API.{what}.{stream}"), check_name(stream).err().map(ApiError::from))
            }
            None => (format!("$JS.API.{what}"), None),
        };
        let names = Names { stream: stream.unwrap_or_default().into(), ..Names::default() };
        Self {
            js: js.clone(),
            subject,
            filter: filter.into(),
            names,
            page: Vec::new().into_iter(),
            offset: 0,
            total: None,
            refused,
        }
    }

    /// Asks for the next page; `false` if there is none.
    fn turn(&mut self) -> Result<bool, ApiError> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        if self.total.is_some_and(|total| self.offset >= total) {
            return Ok(false);
        }
        let ask = Ask { offset: self.offset, subject: &self.filter };
        let call: ApiCall<Page<T>> =
            self.js.call(self.subject.clone(), &ask, self.names.clone(), &[]);
        let page = call.wait()?;
        self.offset += page.entries.len() as u64;
        self.total = Some(page.total);
        self.page = page.entries.into_iter();
        Ok(self.page.len() > 0)
    }
}

impl<T: DeserializeOwned> Iterator for Pages<T> {
    type Item = Result<T, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.page.next() {
            return Some(Ok(entry));
        }
        match self.turn() {
            Ok(true) => self.page.next().map(Ok),
            ended => {
                self.total = Some(0);
                ended.err().map(Err)
            }
        }
    }
}

impl JetStream {
    /// The names of all streams that store `subject` (wildcards allowed; `>` for all) (`STREAM.NAMES`, ADR-1).
    pub fn all_stream_names(&self, subject: &str) -> Pages<String> {
        Pages::new(self, "STREAM.NAMES", None, subject)
    }

    /// All streams that store `subject` (wildcards allowed; `>` for all) (`STREAM.LIST`, ADR-1).
    pub fn streams(&self, subject: &str) -> Pages<StreamInfo> {
        Pages::new(self, "STREAM.LIST", None, subject)
    }

    /// The names of all consumers of a stream (`CONSUMER.NAMES`, ADR-1).
    pub fn consumer_names(&self, stream: &str) -> Pages<String> {
        Pages::new(self, "CONSUMER.NAMES", Some(stream), "")
    }

    /// All consumers of a stream (`CONSUMER.LIST`, ADR-1).
    pub fn consumers(&self, stream: &str) -> Pages<ConsumerInfo> {
        Pages::new(self, "CONSUMER.LIST", Some(stream), "")
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("subject", &self.subject)
            .field("offset", &self.offset)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}
