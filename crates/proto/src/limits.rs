use core::time::Duration;

/// Every bound of a connection and of what is built on it, each with what happens when it is hit.
///
/// ```
/// let limits = jetlane_proto::Limits { write_queue_bytes: 4 << 20, ..Default::default() };
/// assert_eq!(limits.info_bytes, 1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest control line (MSG, HMSG, `-ERR`) accepted from a server, in bytes. Default 8 KiB: twice what a
    /// server accepts from publishers (4096), because it adds to their lines. A longer one is a protocol error: the
    /// connection is dropped and made again.
    pub control_line_bytes: usize,
    /// Longest INFO line accepted, in bytes. Default 1 MiB. A longer one is a protocol error.
    pub info_bytes: usize,
    /// Largest message (headers and payload) accepted from a server, in bytes. Default 64 MiB, the most that a
    /// server can be configured to carry. A larger claim is a protocol error before any of it is buffered.
    pub message_bytes: usize,
    /// How many bytes of encoded frames may wait to be written. Default 320 KiB: more was not faster. When it is full, `try_publish` says
    /// so and `publish` waits. A single larger frame is taken when nothing else waits.
    pub write_queue_bytes: usize,
    /// How many bytes of encoded frames may wait for the next connection while there is none. Default 8 MiB, as nats.go. With 0 nothing
    /// waits: publishing fails at once while the connection is down.
    pub reconnect_bytes: usize,
    /// How long a publish waits for room in the write queue or in the pending ring. Default 5 s; then it fails,
    /// and nothing was queued.
    pub publish_wait: Duration,
    /// How many bytes one turn of the reactor reads before it looks at everything else again. Default 256 KiB.
    pub turn_bytes: usize,
    /// Messages that a queued subscription holds for its reader. Default 65 536. When it is full, newer messages
    /// are dropped and counted ([`Limits::subscription_bytes`] likewise).
    pub subscription_messages: usize,
    /// Bytes that a queued subscription holds for its reader. Default 16 MiB.
    pub subscription_bytes: usize,
    /// How many subscriptions one connection may have. Default 65 536; one more is an error of the caller.
    pub subscriptions: usize,
    /// Requests that may wait for their reply on one connection. Default 4096, at most 2^19; one more
    /// waits for room.
    pub requests: u32,
    /// JetStream publishes that may wait for their ack. Default 1000, the fastest window measured: the reply subjects
    /// of so few slots stay in the server's caches. When it is full, `try_publish` says so and `publish` waits.
    pub pending_acks: u32,
    /// Tickets that may exist for publishes, waiting or with an outcome that nobody has taken. Default 65 536, at most 2^20.
    /// When it is reached, `publish` waits for tickets to be taken or dropped, then fails.
    pub tickets: u32,
    /// Messages that one consumer may have requested or delivered and not settled. Default 1024: more was not faster. No more are
    /// asked for when it is reached; the server keeps them.
    pub consumer_messages: usize,
    /// Bytes of messages that one consumer may hold unsettled. Default 32 MiB. No more are asked for when it is
    /// reached (one pull in flight may exceed it).
    pub consumer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_line_bytes: 8 << 10,
            info_bytes: 1 << 20,
            message_bytes: 64 << 20,
            write_queue_bytes: 320 << 10,
            reconnect_bytes: 8 << 20,
            publish_wait: Duration::from_secs(5),
            turn_bytes: 256 << 10,
            subscription_messages: 65_536,
            subscription_bytes: 16 << 20,
            subscriptions: 65_536,
            requests: 4096,
            pending_acks: 1000,
            tickets: 65_536,
            consumer_messages: 1024,
            consumer_bytes: 32 << 20,
        }
    }
}
