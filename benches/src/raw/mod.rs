//! The limit: a bare blocking socket that replays bytes encoded before, and looks at what it gets no more than it must.
//! No client at all: it follows no protocol beyond the one run, and recovers from nothing.

mod consume;
mod publish;
mod request;
mod stored;
mod subscribe;
mod wire;

use anyhow::{Context, Result, bail};
use jetlane_cli::bench::{JsWork, Latencies, Line, Meter, Options, PubWork, Work};
use wire::Wire;

/// Does the work on `--url`.
///
/// # Errors
/// If it can not be done, or something is missing.
pub fn run(options: &Options) -> Result<Line> {
    let url = options.common.url.as_deref().context("--url is needed")?;
    let mut wire = Wire::connect(url)?;
    match options.work {
        Work::Pub => publish::run(options, &mut wire),
        Work::Sub => subscribe::run(options, &mut wire),
        Work::Req => request::run(options, &mut wire),
        Work::Serve => request::serve(options, &mut wire),
        Work::Js(JsWork::Pub(PubWork::Async)) => stored::many_at_a_time(options, &mut wire),
        Work::Js(JsWork::Pub(PubWork::Sync)) => stored::one_at_a_time(options, &mut wire),
        Work::Js(JsWork::Consume(how)) => consume::run(options, how, &mut wire),
        Work::Js(JsWork::Fetch) | Work::Bus | Work::Pressure => {
            bail!("a bare socket can not do that")
        }
    }
}

fn line(options: &Options, meter: &Meter) -> Line {
    let common = &options.common;
    meter.finish("raw", &options.work.to_string(), common.msgs, common.size)
}

fn line_with(options: &Options, meter: &Meter, latencies: &Latencies) -> Line {
    let mut line = line(options, meter);
    latencies.write_to(&mut line);
    line
}

/// PUB frames, one behind the other.
fn frames(count: usize, size: usize, head: impl Fn(usize) -> String) -> Vec<u8> {
    let payload = vec![b'x'; size];
    let mut frames = Vec::new();
    for n in 0..count {
        frames.extend_from_slice(format!("PUB {} {size}\r\n", head(n)).as_bytes());
        frames.extend_from_slice(&payload);
        frames.extend_from_slice(b"\r\n");
    }
    frames
}
