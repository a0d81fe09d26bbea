//! `jetlane bench`: what jetlane does in a second, what CPU a message costs, and how long things take.

mod line;
mod options;

pub use line::Line;
pub use options::{Common, ConsumeWork, IdleBy, JsWork, Mode, Options, PubWork, StoreIn, Work};
