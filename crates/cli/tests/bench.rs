//! `jetlane bench`, as users run it, on a real nats-server.

use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jetlane::client::Client;
use jetlane_cli::bench::pressure::{Percentiles, Pressure};
use jetlane_cli::bench::{Line, STREAM};
use jetlane_testkit::Server;

/// No run takes longer than this.
const DEADLINE: Duration = Duration::from_secs(60);

fn bench(arguments: &str) -> Output {
    end(start(arguments), arguments)
}

fn start(arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_jetlane"))
        .arg("bench")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Waits until it has ended by itself. What it prints fits the pipes.
fn end(mut child: Child, arguments: &str) -> Output {
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let output = child.wait_with_output().unwrap();
            panic!("`jetlane bench {arguments}` did not end: {output:?}");
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

fn line(arguments: &str) -> Line {
    line_of(&bench(&format!("{arguments} --json")), arguments)
}

/// The one line that it printed.
fn line_of(output: &Output, arguments: &str) -> Line {
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
        ("sub --msgs 10000 --clients 3", "sub queued", false),
        ("req --msgs 200", "req", true),
        ("req --msgs 200 --clients 2 --threads 2 --rate 1000", "req", true),
        ("req --msgs 200 --local", "req local", true),
        ("js pub sync --msgs 200 --storage memory", "js pub sync", true),
        ("js pub sync --msgs 200 --local", "js pub sync local", true),
        ("js pub sync --msgs 200 --threads 3 --rate 1000", "js pub sync", true),
        ("js pub async --msgs 5000 --window 100 --threads 2", "js pub async", false),
        // More tickets than there can be by default, if each thread kept two windows.
        ("js pub async --msgs 100000 --window 40000 --storage memory", "js pub async", false),
        ("js pub async --msgs 100000 --threads 40 --storage memory", "js pub async", false),
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
        let clients =
            if scenario.starts_with("sub") { option(arguments, "--clients ") } else { None };
        let asked = option(arguments, "--msgs ").map(|msgs| msgs * clients.unwrap_or(1));
        assert_eq!(Some(n), asked, "{arguments}");
        assert!(msgs_per_s > 0.0 && user_ns >= 0.0 && sys_ns >= 0.0, "{arguments}");
        if let Some(rate) = option(arguments, "--rate ") {
            // Nothing is begun before it is due, however many begin.
            let most = (rate * n) as f64 / (n - 1) as f64;
            assert!(msgs_per_s <= most, "{arguments}: {msgs_per_s} a second");
        }
        assert!(user_ns + sys_ns > 0.0, "{arguments}: nothing is for free");
        assert!(rss_kb > 1000, "{arguments}: {rss_kb}");
        let seen = [p50_us, p99_us, p999_us, mean_us];
        assert!(seen.iter().all(|us| us.is_some() == latencies), "{arguments}: {seen:?}");
        if let [Some(p50), Some(p99), Some(p999), _] = seen {
            assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{arguments}: {seen:?}");
        }
    }
}

/// The number behind a word of a command line.
fn option(arguments: &str, name: &str) -> Option<u64> {
    arguments.split_once(name)?.1.split(' ').next()?.parse().ok()
}

#[test]
fn two_processes_serve_each_other() {
    let server = Server::start().unwrap();
    let url = server.url();
    let arguments = format!("serve --msgs 100 --json --url {url}");
    let serving = start(&arguments);
    // Until it has subscribed nobody answers, and the server says so at once.
    eventually(|| bench(&format!("req --msgs 1 --url {url}")).status.success());
    assert_eq!(line(&format!("req --msgs 99 --url {url}")).n, 99);
    let served = line_of(&end(serving, &arguments), &arguments);
    assert_eq!((served.scenario.as_str(), served.n), ("serve", 100));
}

fn eventually(mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !look() {
        assert!(Instant::now() < deadline, "it never came true");
    }
}

#[test]
fn what_is_subscribed_to_may_come_from_elsewhere() {
    let server = Server::start().unwrap();
    let client = Client::connect(&server.url()).unwrap();
    for mode in ["inline", "queued"] {
        let arguments = format!("sub --msgs 50 --size 3 --mode {mode} --url {}", server.url());
        let mut subscribed = start(&format!("{arguments} --json"));
        // Published before it has subscribed nobody gets it; what is too much is not counted.
        eventually(|| {
            (0..100).for_each(|_| client.publish("bench", b"abc").unwrap());
            client.flush().wait().unwrap();
            subscribed.try_wait().unwrap().is_some()
        });
        let line = line_of(&end(subscribed, &arguments), &arguments);
        assert_eq!((line.scenario, line.n), (format!("sub {mode}"), 50));
    }
}

#[test]
fn people_get_a_summary() {
    let output = bench("pub --msgs 1000 --size 10 --no-progress");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["pub: 1000 messages of 10 bytes", "throughput", "CPU", "memory", "checked"] {
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
        (on("js consume watermark --clients 2"), "`js consume watermark` is for one client"),
        (on("bus --size 10"), "--size must be at least 11"),
        (on("js pub async --window 0"), "--window must be at least 1"),
        (on("js pub async --window 262145"), "and at most 262144"),
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

#[test]
fn what_is_stored_already_is_consumed_if_it_is_what_is_said() {
    let server = Server::start().unwrap();
    let on = |arguments: &str| format!("{arguments} --msgs 300 --size 20 --url {}", server.url());
    line(&on("js pub async"));
    let client = Client::connect(&server.url()).unwrap();
    let purge = format!("$JS.API.STREAM.PURGE.{STREAM}");
    client.request(purge.as_str(), b"", DEADLINE).unwrap().wait().unwrap();
    // From here on the first sequence is not 1.
    for arguments in [
        "js consume each",
        "js consume watermark --mode inline",
        "js consume none",
        "js consume each --clients 3 --mode inline",
        "js fetch --batch 70",
    ] {
        assert_eq!(line(&on(arguments)).n, 300, "{arguments}");
    }
    for arguments in ["js consume each", "js consume each --mode inline --clients 2", "js fetch"] {
        let output = bench(&on(arguments).replace("--size 20", "--size 21"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("another --size"), "{arguments}: {said}");
    }
}

#[test]
fn the_pressure_test_times_every_part_at_every_level() {
    let output = bench("pressure --storage memory --json");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pressure: Pressure = serde_json::from_slice(&output.stdout).unwrap();
    let levels: Vec<_> = pressure.levels.iter().map(|level| level.events).collect();
    assert_eq!(levels, [500, 2_000, 5_000, 10_000]);
    for level in &pressure.levels {
        let parts = level.validate.mean + level.encode.mean + level.enqueue.mean;
        assert!(parts > 0.0 && parts <= level.send.mean * 1.01 + 0.1, "{level:?}");
        for percentiles in [level.send, level.stored, level.handled] {
            let Percentiles { p50, p90, p95, p99, .. } = percentiles;
            assert!(0.0 < p50 && p50 <= p90 && p90 <= p95 && p95 <= p99, "{level:?}");
        }
        assert!(level.events_per_s > 243.0, "{level:?}");
        assert!(level.rss_kb > 0 && level.threads > 2, "{level:?}");
    }
    let text = bench("pressure --storage memory");
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("68.444 ms") && text.contains("extreme: 10000 events"), "{text}");
}
