/// Why an envelope can not be sent, or a message is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// A field that every event has is missing or empty.
    #[error("the event has no {field}")]
    Missing {
        /// Its name on the wire.
        field: &'static str,
    },
    /// A field has a byte that would end the header, or white space at an end, which a receiver would not see.
    #[error("the field {field} can not be a header: no line ends, and no white space at its ends")]
    Unsendable {
        /// Its name on the wire.
        field: &'static str,
    },
    /// A field can not be read.
    #[error("the field {field} can not be read: {value:?}")]
    Unreadable {
        /// Its name on the wire.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// A form that writes JSON was chosen for a payload that is none. The fault of who publishes it.
    #[error(
        "the payload is no JSON ({reason}), and the JSON form can hold nothing else: give JSON, or choose another form"
    )]
    PayloadNotJson {
        /// What is wrong with it, and where.
        reason: String,
    },
    /// The time can not be written as RFC 3339, which has the years 0 to 9999 only. The fault of who publishes it.
    #[error("the field {field} can not be written: RFC 3339 has the years 0 to 9999")]
    UnsendableTime {
        /// Its name on the wire.
        field: &'static str,
    },
    /// The body is not the JSON object that its form asks for. The fault of who published it.
    #[error("the body is not the JSON object of an envelope: {reason}")]
    Malformed {
        /// What is wrong with it, and where.
        reason: String,
    },
    /// Lanes route by the key header, and the envelope names another aggregate: its order would be lost. The fault of who
    /// published it.
    #[error("the header X-Aggregate-ID says {header:?}, and the envelope {envelope:?}")]
    OtherAggregate {
        /// What the header says.
        header: String,
        /// What the envelope says.
        envelope: String,
    },
    /// The payload is compressed by what this program can not read. The fault of who published it, or of who built this program.
    #[error(
        "the payload is compressed by {encoding:?}, which this program can not read: lz4, zstd and gzip are features of jetlane"
    )]
    UnknownEncoding {
        /// What the header `Content-Encoding` says.
        encoding: String,
    },
    /// The decompressed payload is larger than the reader takes. The fault of who published it, unless the reader's limit
    /// ([`crate::Subscribe::decompress_up_to`]) is too small.
    #[error("the decompressed payload has more than {most} bytes, the reader's limit")]
    TooLarge {
        /// The limit, in bytes.
        most: usize,
    },
    /// The payload is not what its header `Content-Encoding` says. The fault of who published it.
    #[error("the payload can not be decompressed as {encoding}: {reason}")]
    Corrupt {
        /// What the header says.
        encoding: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The message is in a form whose body is JSON, and says that it is compressed: only payloads are, in the other forms. The fault of who
    /// published it.
    #[error("the form {form:?} is JSON, and can not be compressed by {encoding:?}")]
    CompressedForm {
        /// The form.
        form: crate::Form,
        /// What the header `Content-Encoding` says.
        encoding: String,
    },
    /// The message has neither headers nor a body that an envelope could be read from.
    #[error("the message is no envelope in any form that is known")]
    NoEnvelope,
}

pub(super) fn unreadable(field: &'static str, value: &[u8]) -> EnvelopeError {
    EnvelopeError::Unreadable { field, value: excerpt(value) }
}

/// Anybody may have written it: no more of it than helps.
pub(crate) fn excerpt(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(100)]).into_owned()
}
