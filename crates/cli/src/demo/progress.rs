//! A bar for whoever watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar of `total` events; hidden if `quiet`, or if nobody watches.
    pub(super) fn new(total: u64, quiet: bool) -> Self {
        let bar = ProgressBar::new(total);
        let target = if quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        };
        bar.set_draw_target(target);
        let style = ProgressStyle::with_template(
            "{bar:40.cyan/blue} {human_pos} of {human_len} events handled, {per_sec}, {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn show(&self, handled: u64) {
        self.bar.set_position(handled);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
