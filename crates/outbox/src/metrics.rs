//! What the feature `metrics` counts, through the facade of the crate [`metrics`](https://docs.rs/metrics): install a recorder
//! **before** a relay is started and an inbox is made, as every counter is registered once, with its relay or its inbox.
//!
//! | name | kind | labels | what it is |
//! |---|---|---|---|
//! | `jetlane_outbox_waiting` | gauge | `outbox`, `partition` | events that wait in the table, in partitions that relays of this process own, stopped keys included |
//! | `jetlane_outbox_oldest_seconds` | gauge | `outbox`, `partition` | for how long the oldest of them has waited, by the clock of the database, in whole seconds; 0 if none waits |
//! | `jetlane_outbox_on_their_way` | gauge | `outbox` | loads (an event, or a unit of them) on their way to a stream |
//! | `jetlane_outbox_published_total` | counter | `outbox` | events that were stored by their stream, and whose rows were taken out |
//! | `jetlane_outbox_found_total` | counter | `outbox` | of those, events that another relay, or an attempt whose ack was lost, had stored already |
//! | `jetlane_outbox_retries_total` | counter | `outbox` | loads that were tried again: `RelayStatus::retried` |
//! | `jetlane_outbox_stopped_total` | counter | `outbox` | keys that were stopped, because an event was refused |
//! | `jetlane_inbox_events_total` | counter | `subscription`; `outcome`: `handled`, `repeated` | events whose handler has committed, and those that were handled before |
//!
//! `outbox` is the name of its table. What waits is counted in the database by each relay, once in 5 s, and less often where that takes so long that it
//! would be more than a twentieth of the relay's time; nobody counts it without this feature. A partition that no relay of this process owns
//! is shown as 0 here: the sum over all processes is what waits. While the database is away what was seen last is shown.

/// Events that wait in the table.
pub const OUTBOX_WAITING: &str = "jetlane_outbox_waiting";
/// For how long the oldest event has waited.
pub const OUTBOX_OLDEST_SECONDS: &str = "jetlane_outbox_oldest_seconds";
/// Loads on their way to a stream.
pub const OUTBOX_ON_THEIR_WAY: &str = "jetlane_outbox_on_their_way";
/// Events that were stored, and whose rows were taken out.
pub const OUTBOX_PUBLISHED: &str = "jetlane_outbox_published_total";
/// Of those, events that had been stored already.
pub const OUTBOX_FOUND: &str = "jetlane_outbox_found_total";
/// Loads that were tried again.
pub const OUTBOX_RETRIES: &str = "jetlane_outbox_retries_total";
/// Keys that were stopped.
pub const OUTBOX_STOPPED: &str = "jetlane_outbox_stopped_total";
/// What became of events that came to an inbox.
pub const INBOX_EVENTS: &str = "jetlane_inbox_events_total";
