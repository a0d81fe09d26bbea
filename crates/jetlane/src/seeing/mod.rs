//! What can be seen of a bus from outside: its health, what it counts, and the traces that its events belong to.

mod count;
mod health;
#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "meters_off.rs"]
mod meters;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tracing")]
mod span;
#[cfg(not(feature = "tracing"))]
#[path = "span_off.rs"]
mod span;
mod trace_parent;

pub(crate) use count::{Count, Outcome};
pub use health::BusHealth;
pub(crate) use meters::Meters;
pub(crate) use span::{enter, enter_raw};
pub use trace_parent::{TraceParent, TraceParentError};
