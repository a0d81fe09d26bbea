//! `jetlane bench`, as users run it, on a real nats-server.

use std::process::{Command, Output};

use jetlane_cli::bench::Line;
use jetlane_testkit::Server;

fn bench(arguments: &str) -> Output {
    let words = arguments.split_whitespace();
    let mut command = Command::new(env!("CARGO_BIN_EXE_jetlane"));
    command.arg("bench").args(words).output().expect("the program starts")
}

fn line(arguments: &str) -> Line {
    let output = bench(&format!("{arguments} --json"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {said}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{arguments}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments}: {error}: {text}"))
}

#[test]
fn every_work_in_every_mode_is_done_checked_and_measured() {
    // Each has a server of its own; the numbers are those that are asked for.
    for (arguments, scenario, latencies) in [
        ("pub --msgs 20000", "pub", false),
        ("pub --msgs 20000 --clients 2 --threads 3", "pub", false),
        ("pub --msgs 20000 --subjects 7", "pub", false),
        ("pub --msgs 500 --rate 2000", "pub 2000/s queued", true),
        ("pub --msgs 500 --rate 2000 --mode inline --idle spin", "pub 2000/s inline", true),
        ("sub --msgs 20000", "sub queued", false),
        ("sub --msgs 20000 --mode inline", "sub inline", false),
        ("sub --msgs 20000 --mode inline --subjects 10", "sub inline", false),
        ("req --msgs 200", "req", true),
        ("req --msgs 200 --clients 2 --threads 2 --rate 1000", "req", true),
        ("req --msgs 200 --local", "req local", true),
        ("js pub sync --msgs 200 --storage memory", "js pub sync", true),
        ("js pub sync --msgs 200 --local", "js pub sync local", true),
        ("js pub async --msgs 5000 --window 100 --threads 2", "js pub async", false),
        ("js consume each --msgs 5000 --storage memory", "js consume each queued", false),
        ("js consume each --msgs 5000 --clients 2", "js consume each queued", false),
        ("js consume each --msgs 5000 --mode inline", "js consume each inline", false),
        ("js consume watermark --msgs 5000", "js consume watermark queued", false),
        (
            "js consume watermark --msgs 5000 --mode inline --window 300",
            "js consume watermark inline",
            false,
        ),
        ("js consume none --msgs 5000", "js consume none queued", false),
        ("js consume none --msgs 5000 --mode inline", "js consume none inline", false),
        ("js fetch --msgs 2000 --batch 300", "js fetch", false),
        ("bus --msgs 2000 --threads 2 --idle busy", "bus", false),
    ] {
        let Line {
            client,
            scenario: seen,
            n,
            size,
            msgs_per_s,
            user_ns,
            sys_ns,
            p50_us,
            p99_us,
            p999_us,
            mean_us,
            rss_kb,
        } = line(&format!("{arguments} --size 64"));
        assert_eq!(
            (client.as_str(), seen.as_str(), size),
            ("jetlane", scenario, 64),
            "{arguments}"
        );
        let asked = arguments.split_once("--msgs ").expect("all have it").1;
        let asked: u64 = asked.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert_eq!(n, asked, "{arguments}");
        assert!(msgs_per_s > 0.0 && user_ns >= 0.0 && sys_ns >= 0.0, "{arguments}");
        assert!(user_ns + sys_ns > 0.0, "{arguments}: nothing is for free");
        assert!(rss_kb > 1000, "{arguments}: {rss_kb}");
        let seen = [p50_us, p99_us, p999_us, mean_us];
        assert!(seen.iter().all(|us| us.is_some() == latencies), "{arguments}: {seen:?}");
        if let [Some(p50), Some(p99), Some(p999), _] = seen {
            assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{arguments}: {seen:?}");
        }
    }
}

#[test]
fn two_processes_serve_each_other() {
    let server = Server::start().unwrap();
    let (url, mut serving) = (server.url(), Command::new(env!("CARGO_BIN_EXE_jetlane")));
    serving.args(["bench", "serve", "--msgs", "100", "--json", "--url", &url]);
    let serving = serving.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // Until it has subscribed nobody answers, and the server says so at once.
    eventually(|| bench(&format!("req --msgs 1 --url {url}")).status.success());
    assert_eq!(line(&format!("req --msgs 99 --url {url}")).n, 99);
    let output = serving.wait_with_output().unwrap();
    let served: Line = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((served.scenario.as_str(), served.n), ("serve", 100));
}

fn eventually(mut look: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !look() {
        assert!(std::time::Instant::now() < deadline, "it never came true");
    }
}

#[test]
fn people_get_a_summary() {
    let output = bench("pub --msgs 1000 --size 10 --no-progress");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["pub: 1000 messages of 10 bytes", "throughput", "CPU", "memory"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("latency"), "{text}");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let server = Server::start().unwrap();
    let on = |arguments: &str| format!("{arguments} --url {}", server.url());
    for (arguments, reason) in [
        (on("pub --msgs 0"), "--msgs must be at least 1"),
        (on("pub --clients 0"), "--clients must be at least 1"),
        (on("pub --threads 0"), "--threads must be at least 1"),
        (on("js fetch --batch 0"), "--batch must be at least 1"),
        (on("pub --subjects 0"), "--subjects must be at least 1"),
        (on("pub --msgs 3 --threads 4"), "one for each of the 4 threads"),
        (on("pub --rate 0"), "--rate must be at least 1"),
        (on("sub --rate 5"), "--rate is for"),
        (on("pub --rate 5 --size 7"), "--size must be at least 8"),
        (on("pub --rate 5 --threads 2"), "measures one client, one thread"),
        (on("pub --size 2000000"), "the server takes messages of 1048576 bytes at most"),
        (on("pub --local"), "--local is for"),
        (on("req --local --threads 2"), "--local is for"),
        (on("req --subjects 2"), "--subjects is for"),
        (on("bus --clients 2"), "`bus` is for one client"),
        (on("pub --subject a..b"), "empty token"),
        (on("req --msgs 1"), "somebody must answer"),
        ("serve".into(), "by --url"),
        ("pub --url 127.0.0.1:1".into(), "127.0.0.1:1"),
        ("pub --url http://x".into(), "http"),
    ] {
        let output = bench(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments}");
        assert!(said.contains(reason), "{arguments}: {said}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    assert!(!bench("fly").status.success());
}

#[test]
fn a_stream_of_another_kind_is_not_used() {
    let server = Server::start().unwrap();
    let url = server.url();
    line(&format!("js pub async --msgs 100 --storage memory --url {url}"));
    for (arguments, reason) in
        [("--storage file", "the other --storage"), ("--storage memory --subject b", "stores")]
    {
        let output = bench(&format!("js pub async --msgs 100 {arguments} --url {url}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{arguments}: {said}");
    }
    // What is there is added to, and checked all the same.
    assert_eq!(line(&format!("js pub async --msgs 100 --storage memory --url {url}")).n, 100);
}
