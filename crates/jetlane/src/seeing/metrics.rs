//! What the feature `metrics` counts, through the facade of the crate [`metrics`](https://docs.rs/metrics): install a recorder
//! **before** the bus is connected, as every counter is registered once, with its connection or its subscription.
//!
//! | name | kind | labels | what it is |
//! |---|---|---|---|
//! | `jetlane_published_total` | counter | | acknowledged publishes that were queued; an atomic batch is one |
//! | `jetlane_publish_outcomes_total` | counter | `outcome`: `stored`, `duplicate`, `rejected`, `unknown` | how they ended |
//! | `jetlane_publishes_pending` | gauge | | those that wait for their ack |
//! | `jetlane_events_total` | counter | `subscription`; `outcome`: `handled`, `retried`, `rejected`, `dead_lettered`, `parked`, `passed_over`; of listeners `handled`, `failed`, `dropped`, `passed_over` | what became of events: [`crate::Counts`], [`crate::ListenerCounts`] |
//! | `jetlane_handler_panics_total` | counter | `subscription` | panics of handlers |
//! | `jetlane_handler_seconds` | histogram | `subscription` | how long a handler took, also one that failed |
//! | `jetlane_event_age_seconds` | histogram | `subscription` | how long an event was stored when its handler was called, by the clocks of server and host |
//! | `jetlane_events_held` | gauge | `subscription` | events on the lanes: they wait, are handled, or wait for their next attempt |
//!
//! Without the feature nothing of it is compiled. With it, an event costs a few atomic additions and two looks at the clock, and no
//! allocation.

/// Acknowledged publishes that were queued.
pub const PUBLISHED: &str = "jetlane_published_total";
/// How publishes ended.
pub const PUBLISH_OUTCOMES: &str = "jetlane_publish_outcomes_total";
/// Publishes that wait for their ack.
pub const PUBLISHES_PENDING: &str = "jetlane_publishes_pending";
/// What became of events.
pub const EVENTS: &str = "jetlane_events_total";
/// Panics of handlers.
pub const HANDLER_PANICS: &str = "jetlane_handler_panics_total";
/// How long a handler took.
pub const HANDLER_SECONDS: &str = "jetlane_handler_seconds";
/// How old an event was when its handler was called.
pub const EVENT_AGE_SECONDS: &str = "jetlane_event_age_seconds";
/// Events on the lanes.
pub const EVENTS_HELD: &str = "jetlane_events_held";
