//! The comparison from end to end, on two rows and few messages.

use std::fs;
use std::process::Command;

#[test]
fn a_comparison_runs_every_client_and_writes_its_report() {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_jetlane-bench"))
        .args(["compare", "--quick", "--runs", "1", "--rows", "one at a time", "1 KiB", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    // Whether targets are met says nothing here, where others run beside it: only that all was measured does.
    let table = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    for part in [
        "core publish 1 KiB",
        "JetStream publish, one at a time, memory",
        "  raw ",
        "  async-nats ",
        "jetlane, caller-driven",
        "jetlane, threaded",
        "must caller-driven: mean ≤ 1.1 × raw",
    ] {
        assert!(table.contains(part), "{part}: {table}\n{said}");
    }
    assert!(!table.contains("failed") && !table.contains("not measured"), "{table}\n{said}");
    let json = fs::read_to_string(out.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(2));
    for row in report["rows"].as_array().unwrap() {
        for result in row["results"].as_array().unwrap() {
            assert!(result["msgs_per_s"].as_f64().unwrap() > 0.0, "{result}");
            assert_eq!(result["lines"].as_array().map(Vec::len), Some(1), "{result}");
        }
    }
    let html = fs::read_to_string(out.path().join("report.html")).unwrap();
    for part in ["core publish 1 KiB", "p99.9", "<svg", "caller-driven"] {
        assert!(html.contains(part), "{part}");
    }
    // Self-contained: nothing is fetched from anywhere.
    for part in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(part), "{part}");
    }
}

#[test]
fn bad_options_are_refused() {
    for (arguments, reason) in
        [(&["--runs", "0"][..], "--runs"), (&["--rows", "nothing"], "no row")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_jetlane-bench"))
            .arg("compare")
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason), "{arguments:?}");
    }
}
