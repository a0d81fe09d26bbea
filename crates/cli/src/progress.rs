//! A bar for whoever watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar of `total` of something; hidden if `quiet`, or if nobody watches.
    pub(crate) fn new(total: u64, what: &str, quiet: bool) -> Self {
        let bar = ProgressBar::new(total);
        let target = if quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        };
        bar.set_draw_target(target);
        let template = format!(
            "{{bar:40.cyan/blue}} {{human_pos}} of {{human_len}} {what}, {{per_sec}}, {{eta}} left"
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(crate) fn show(&self, handled: u64) {
        self.bar.set_position(handled);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
