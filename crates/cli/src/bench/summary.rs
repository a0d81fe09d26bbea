use std::fmt;

use super::Line;

/// A line for people.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a Line);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { scenario, n, size, msgs_per_s, user_ns, sys_ns, rss_kb, .. } = self.0;
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
            self.0
        {
            let mean = mean_us.unwrap_or(*p50);
            writeln!(
                f,
                "  latency     p50 {p50:.1} µs, p99 {p99:.1} µs, p99.9 {p999:.1} µs, mean {mean:.1} µs"
            )?;
        }
        write!(f, "  memory      {:.1} MiB resident at most", *rss_kb as f64 / 1024.0)
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
    use super::*;

    #[test]
    fn a_summary_says_what_was_measured_and_no_more() {
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
        let text = Summary(&line).to_string();
        assert_eq!(
            text,
            "pub: 1000 messages of 100 bytes\n  \
             throughput  1,234,568 messages a second, 123.5 MB/s\n  \
             CPU         26 ns a message (20 user, 5 kernel)\n  \
             memory      2.0 MiB resident at most"
        );
        (line.p50_us, line.p99_us, line.p999_us) = (Some(1.0), Some(2.0), Some(3.0));
        assert!(Summary(&line).to_string().contains("p50 1.0 µs, p99 2.0 µs, p99.9 3.0 µs"));
    }
}
