use crate::{HeaderView, read_decimal};

/// What a server says to a pull request besides messages (nats-server 2.15.1, `consumer.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullStatus {
    /// 100: nothing to deliver, but the server is there.
    Heartbeat,
    /// The pull ended with this many messages undelivered: it expired (408), its batch is complete (409), or the
    /// server shut down (409).
    Ended {
        /// `Nats-Pending-Messages`
        left: u64,
        /// `Nats-Pending-Bytes`; 0 if the server does not say.
        left_bytes: u64,
    },
    /// 409 "Message Size Exceeds MaxBytes": it ended as the next message is larger than what is left of its bytes.
    TooLarge {
        /// `Nats-Pending-Messages`
        left: u64,
        /// `Nats-Pending-Bytes`; 0 if the server does not say.
        left_bytes: u64,
    },
    /// The pull was refused or dropped whole: 400, 404, 408 without a count, 409 "Exceeded …", 412, 423, or a
    /// status this version does not know.
    Refused {
        /// The status code.
        code: u16,
        /// The server's text.
        reason: String,
    },
    /// 409 "Leadership Change": all pulls are over; ask again.
    AllOver,
    /// 503: no such stream or consumer, or none that answers now.
    NoResponders,
    /// 409 "Consumer Deleted" or "Consumer is push based": there is nothing to pull from any more.
    Gone {
        /// The server's text.
        reason: String,
    },
}

impl PullStatus {
    /// Reads the headers of a message without payload that came to a pull's inbox. `None` if they hold no status.
    pub fn read(headers: HeaderView<'_>) -> Option<Self> {
        let status = headers.status()?;
        let reason = || String::from_utf8_lossy(status.description).into_owned();
        let says = |text: &[u8]| status.description.eq_ignore_ascii_case(text);
        let left = || read_decimal(headers.get("Nats-Pending-Messages")?);
        let left_bytes =
            || headers.get("Nats-Pending-Bytes").and_then(read_decimal).unwrap_or_default();
        Some(match status.code {
            100 => Self::Heartbeat,
            503 => Self::NoResponders,
            409 if says(b"Consumer Deleted") || says(b"Consumer is push based") => {
                Self::Gone { reason: reason() }
            }
            409 if says(b"Leadership Change") => Self::AllOver,
            code => match left() {
                Some(left) if code == 409 && says(b"Message Size Exceeds MaxBytes") => {
                    Self::TooLarge { left, left_bytes: left_bytes() }
                }
                Some(left) => Self::Ended { left, left_bytes: left_bytes() },
                None => Self::Refused { code, reason: reason() },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_the_server() {
        let refused = |code, reason: &str| PullStatus::Refused { code, reason: reason.into() };
        let gone = |reason: &str| PullStatus::Gone { reason: reason.into() };
        for (line, headers, expected) in [
            (
                "100 Idle Heartbeat",
                "Nats-Last-Consumer: 5\r\nNats-Last-Stream: 9\r\n",
                Some(PullStatus::Heartbeat),
            ),
            (
                "400 Bad Request - heartbeat value too large",
                "",
                Some(refused(400, "Bad Request - heartbeat value too large")),
            ),
            ("404 No Messages", "", Some(refused(404, "No Messages"))),
            (
                "408 Request Timeout",
                "Nats-Pending-Messages: 12\r\nNats-Pending-Bytes: 0\r\n",
                Some(PullStatus::Ended { left: 12, left_bytes: 0 }),
            ),
            ("408 Requests Pending", "", Some(refused(408, "Requests Pending"))),
            (
                "408 Interest Expired",
                "Nats-Pending-Messages: 1\r\n",
                Some(PullStatus::Ended { left: 1, left_bytes: 0 }),
            ),
            (
                "409 Message Size Exceeds MaxBytes",
                "Nats-Pending-Messages: 3\r\nNats-Pending-Bytes: 77\r\n",
                Some(PullStatus::TooLarge { left: 3, left_bytes: 77 }),
            ),
            (
                "409 Batch Completed",
                "Nats-Pending-Messages: 0\r\nNats-Pending-Bytes: 9\r\n",
                Some(PullStatus::Ended { left: 0, left_bytes: 9 }),
            ),
            (
                "409 Exceeded MaxRequestBatch of 10",
                "",
                Some(refused(409, "Exceeded MaxRequestBatch of 10")),
            ),
            (
                "409 Exceeded MaxRequestExpires of 5s",
                "",
                Some(refused(409, "Exceeded MaxRequestExpires of 5s")),
            ),
            (
                "409 Exceeded MaxRequestMaxBytes of 1",
                "",
                Some(refused(409, "Exceeded MaxRequestMaxBytes of 1")),
            ),
            ("409 Exceeded MaxWaiting", "", Some(refused(409, "Exceeded MaxWaiting"))),
            ("409 Consumer Deleted", "", Some(gone("Consumer Deleted"))),
            ("409 Consumer is push based", "", Some(gone("Consumer is push based"))),
            ("409 Leadership Change", "", Some(PullStatus::AllOver)),
            (
                "409 Server Shutdown",
                "Nats-Pending-Messages: 4\r\n",
                Some(PullStatus::Ended { left: 4, left_bytes: 0 }),
            ),
            ("412 Required Api Level", "", Some(refused(412, "Required Api Level"))),
            ("423 Nats-Pin-Id mismatch", "", Some(refused(423, "Nats-Pin-Id mismatch"))),
            (
                "423 Nats-Wrong-Pin-Id",
                "Nats-Pending-Messages: 6\r\n",
                Some(PullStatus::Ended { left: 6, left_bytes: 0 }),
            ),
            (
                "503",
                "Nats-Subject: $JS.API.CONSUMER.MSG.NEXT.S.C\r\n",
                Some(PullStatus::NoResponders),
            ),
            (
                "408 Request Timeout",
                "Nats-Pending-Messages: many\r\n",
                Some(refused(408, "Request Timeout")),
            ),
            ("", "", None),
        ] {
            let block = format!("NATS/1.0 {line}\r\n{headers}\r\n");
            assert_eq!(PullStatus::read(HeaderView::new(block.as_bytes())), expected, "{line}");
        }
    }
}
