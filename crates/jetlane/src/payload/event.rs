use std::borrow::Cow;

use bytes::Bytes;

use super::encoding::{Encoding, Fault, accepts};
use super::error::{DecodeError, EncodeError};
use crate::Envelope;

/// A type whose values are events.
///
/// ```
/// use std::borrow::Cow;
/// use jetlane::{Envelope, Event, Json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct OrderCreated {
///     order: String,
///     total: u64,
/// }
///
/// impl Event for OrderCreated {
///     const TYPE: &'static str = "OrderCreated";
///     type Encoding = Json;
///
///     fn aggregate_id(&self) -> Cow<'_, str> {
///         self.order.as_str().into()
///     }
/// }
///
/// let created = OrderCreated { order: "order-42".into(), total: 7 };
/// let envelope = Envelope::of(&created)?.with_trace_id("trace-7");
/// assert_eq!(envelope.payload(), r#"{"order":"order-42","total":7}"#);
/// assert_eq!(envelope.decode::<OrderCreated>()?, created);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Versions
///
/// [`Event::VERSION`] counts the formats of the payload. What older programs can read as well, such as a new field that they pass
/// over, needs no new version. What they would misread does: a program that knows only older versions refuses such an event
/// ([`DecodeError::NewerVersion`]), since it can not know what it would miss. In a subscription it goes to the dead letters, and can be
/// redriven once the program is up to date. So bring the readers up to date first. Older versions are read by [`Event::from_older`].
pub trait Event: Sized {
    /// What happened, as it stands in the envelope and as handlers ask for it. It is stored with every event: a type may get another name in
    /// Rust, but not here.
    const TYPE: &'static str;

    /// The version of the payload's format. Default 1.
    const VERSION: i64 = 1;

    /// How it stands in the payload: [`crate::Json`], `Protobuf` (feature `prost`), [`crate::Raw`], or one of your own.
    type Encoding: Encoding<Self>;

    /// What it happened to. Events with the same aggregate id are handled in order. It may not be empty.
    fn aggregate_id(&self) -> Cow<'_, str>;

    /// Reads a payload of an older version than [`Event::VERSION`]. Default: as one of today's.
    ///
    /// # Errors
    /// [`Fault`] if it stands for no such value.
    fn from_older(version: i64, payload: &Bytes) -> Result<Self, Fault> {
        let _ = version;
        Self::Encoding::decode(payload)
    }
}

impl Envelope {
    /// The event that a value is: of now, with a new id (a UUIDv7), and with the type, version, aggregate id and content type that its
    /// type says.
    ///
    /// # Errors
    /// [`EncodeError`] if it can not be encoded. The caller's fault.
    pub fn of<E: Event>(event: &E) -> Result<Self, EncodeError> {
        let content_type = E::Encoding::CONTENT_TYPE;
        let payload = E::Encoding::encode(event).map_err(|fault| EncodeError {
            event_type: E::TYPE,
            content_type,
            reason: fault.to_string(),
        })?;
        let envelope = Self::new(event.aggregate_id(), E::TYPE, payload);
        Ok(envelope.with_event_version(E::VERSION).with_content_type(content_type))
    }

    /// The value that the event is. What the envelope says of its type, version and content type has to fit; an event that says
    /// nothing of its content type, or `application/octet-stream`, is taken to be in the encoding of `E`.
    ///
    /// # Errors
    /// [`DecodeError`] says why not, and whose fault that is.
    pub fn decode<E: Event>(&self) -> Result<E, DecodeError> {
        let (event_type, content_type) = (E::TYPE, E::Encoding::CONTENT_TYPE);
        if self.event_type() != event_type {
            let found = self.event_type().into();
            return Err(DecodeError::OtherType { expected: event_type, found });
        }
        let version = self.event_version();
        if version > E::VERSION {
            return Err(DecodeError::NewerVersion {
                event_type,
                known: E::VERSION,
                found: version,
            });
        }
        if !accepts::<E, E::Encoding>(self.content_type()) {
            let found = self.content_type().unwrap_or_default().into();
            return Err(DecodeError::OtherContentType {
                event_type,
                expected: content_type,
                found,
            });
        }
        let read = match version < E::VERSION {
            true => E::from_older(version, self.payload()),
            false => E::Encoding::decode(self.payload()),
        };
        read.map_err(|fault| DecodeError::Payload {
            event_type,
            content_type,
            reason: fault.to_string(),
        })
    }
}
