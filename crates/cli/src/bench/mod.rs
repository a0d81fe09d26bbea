//! `jetlane bench`: what jetlane does in a second, what CPU a message costs, and how long things take.
//!
//! Every work checks what it has done: that all messages arrived, were stored, or were handled, each once and in order
//! where order is promised. What can not be shown is an error, not a number.

mod bus;
mod consume;
mod fetch;
mod latencies;
mod line;
mod meter;
mod options;
mod paced;
mod patience;
pub mod pressure;
mod publish;
mod request;
mod run;
mod schedule;
mod setup;
mod stored;
mod subscribe;
mod summary;

pub use latencies::Latencies;
pub use line::Line;
pub use meter::Meter;
pub use options::{Common, ConsumeWork, IdleBy, JsWork, Mode, Options, PubWork, StoreIn, Work};
pub use run::{STREAM, run};
pub use schedule::Schedule;
pub use summary::Summary;
