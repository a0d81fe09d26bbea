use std::fmt;

use super::{ConsumeWork, JsWork, Line, Options, Work};

/// What was done, for people.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// What it came to.
    pub line: &'a Line,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { scenario, n, size, msgs_per_s, user_ns, sys_ns, rss_kb, .. } = self.line;
        writeln!(f, "{scenario}: {n} messages of {size} bytes")?;
        let megabytes = msgs_per_s * *size as f64 / 1e6;
        writeln!(
            f,
            "  throughput  {} messages a second, {megabytes:.1} MB/s",
            grouped(*msgs_per_s)
        )?;
        let total = user_ns + sys_ns;
        writeln!(
            f,
            "  CPU         {total:.0} ns a message ({user_ns:.0} user, {sys_ns:.0} kernel)"
        )?;
        if let Line { p50_us: Some(p50), p99_us: Some(p99), p999_us: Some(p999), mean_us, .. } =
            self.line
        {
            let mean = mean_us.unwrap_or(*p50);
            writeln!(
                f,
                "  latency     p50 {p50:.1} µs, p99 {p99:.1} µs, p99.9 {p999:.1} µs, mean {mean:.1} µs"
            )?;
        }
        writeln!(f, "  memory      {:.1} MiB resident at most", *rss_kb as f64 / 1024.0)?;
        write!(f, "  checked     {}", checked(self.options))?;
        match also_measured(self.options) {
            Some(other) => write!(f, "\n  note        CPU and memory are also those of {other}"),
            None => Ok(()),
        }
    }
}

/// What is known to be true, as the work would have failed if it were not.
fn checked(options: &Options) -> &'static str {
    match options.work {
        Work::Pub if options.common.rate.is_some() => "all were received, in order",
        Work::Pub => "the server has processed all of them",
        Work::Sub => "all were received, and none was dropped",
        Work::Req => "all answers bring what was asked",
        Work::Serve => "the server has all answers",
        Work::Js(JsWork::Pub(_)) => "all are stored, and the stream has as many more",
        Work::Js(JsWork::Consume(ConsumeWork::None)) => {
            "all were received, in the order of the stream"
        }
        Work::Js(JsWork::Consume(_) | JsWork::Fetch) => {
            "all were received, in the order of the stream, and the server has all acks"
        }
        Work::Bus | Work::Pressure => {
            "all were stored, and handled once each, in the order of their key"
        }
    }
}

/// Who else is in this process.
fn also_measured(options: &Options) -> Option<&'static str> {
    match options.work {
        Work::Pub if options.common.rate.is_some() => Some("the receiver"),
        Work::Sub if options.common.url.is_none() => {
            Some("the publisher: to leave it out, see --url")
        }
        Work::Req if options.common.url.is_none() => {
            Some("who answers: to leave it out, see --url")
        }
        _ => None,
    }
}

/// With a comma every three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_summary_says_what_was_measured_and_checked_and_no_more() {
        let mut line = Line {
            client: "jetlane".into(),
            scenario: "pub".into(),
            n: 1000,
            size: 100,
            msgs_per_s: 1_234_567.8,
            user_ns: 20.4,
            sys_ns: 5.2,
            p50_us: None,
            p99_us: None,
            p999_us: None,
            mean_us: None,
            rss_kb: 2048,
        };
        let summary = |words: &str, line: &Line| {
            let options = Words::parse_from(words.split(' ')).options;
            Summary { options: &options, line }.to_string()
        };
        assert_eq!(
            summary("bench pub", &line),
            "pub: 1000 messages of 100 bytes\n  \
             throughput  1,234,568 messages a second, 123.5 MB/s\n  \
             CPU         26 ns a message (20 user, 5 kernel)\n  \
             memory      2.0 MiB resident at most\n  \
             checked     the server has processed all of them"
        );
        (line.p50_us, line.p99_us, line.p999_us) = (Some(1.0), Some(2.0), Some(3.0));
        let paced = summary("bench pub --rate 5", &line);
        assert!(paced.contains("p50 1.0 µs, p99 2.0 µs, p99.9 3.0 µs"), "{paced}");
        for (words, ends) in [
            ("bench pub --rate 5", "also those of the receiver"),
            ("bench sub", "also those of the publisher: to leave it out, see --url"),
            ("bench sub --url x", "none was dropped"),
            ("bench js fetch", "the server has all acks"),
        ] {
            let text = summary(words, &line);
            assert!(text.ends_with(ends), "{words}: {text}");
        }
    }
}
