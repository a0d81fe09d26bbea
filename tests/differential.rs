//! The server in memory answers the API as a real one does.

use jetlane_client::Client;
use jetlane_tests::DEADLINE;
use jetlane_tests::place::Place;
use serde_json::Value;

/// Parts of answers that nobody reads, or that differ by what a server is.
const APART: [&str; 8] =
    ["cluster", "description", "metadata", "_total", "_offset", "_limit", "purged", "reserved"];

/// All fields of an answer with their types; numbers of errors with their value.
fn shape(path: &str, value: &Value, out: &mut Vec<String>) {
    let kind = match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !APART.contains(&&***name)) {
                shape(&format!("{path}/{name}"), value, out);
            }
            return;
        }
        Value::Array(list) => {
            list.iter().for_each(|value| shape(&format!("{path}/*"), value, out));
            "list".into()
        }
        Value::Number(number) if path.contains("/error/") => number.to_string(),
        Value::Number(_) => "number".into(),
        Value::String(text) if path == "/type" => text.clone(),
        Value::String(_) => "text".into(),
        Value::Bool(value) => value.to_string(),
        Value::Null => "null".into(),
    };
    out.push(format!("{path}: {kind}"));
}

fn ask(client: &Client, subject: &str, body: &str) -> Vec<String> {
    let answer = client.request(subject, body, DEADLINE).and_then(|request| request.wait());
    let answer = answer.unwrap_or_else(|error| panic!("{subject} {body}: {error}"));
    let mut answer: Value = serde_json::from_slice(answer.payload()).unwrap();
    if answer.get("error").is_some() {
        // What else there is with an error nobody reads.
        answer = serde_json::json!({ "type": answer["type"], "error": answer["error"] });
    }
    let mut out = Vec::new();
    shape("", &answer, &mut out);
    // A consumer without a name stands wherever its random one puts it.
    out.sort();
    out
}

#[test]
fn the_answers_of_both_servers_have_the_same_fields() {
    let (real, memory) = (Place::Real.start(), Place::Memory.start());
    let connect = |url: &str| Client::connect(url).unwrap();
    let (real, memory) = (connect(&real.url()), connect(&memory.url()));
    for (subject, body) in REQUESTS {
        let subject = if subject.starts_with("s.") {
            subject.to_string()
        } else {
            format!("$JS.API.{subject}")
        };
        let (real, memory) = (ask(&real, &subject, body), ask(&memory, &subject, body));
        assert_eq!(memory, real, "{subject} {body}");
    }
}

/// One after the other: each finds what those before it have left.
const REQUESTS: [(&str, &str); 71] = [
    ("INFO", ""),
    ("STREAM.INFO.NO", ""),
    ("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"allow_direct":true}"#),
    ("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"allow_direct":true}"#),
    ("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.*"]}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","subjects":["s.*"]}"#),
    ("STREAM.CREATE.T", r#"{"name":"X","subjects":["t"]}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","subjects":["t"],"foo":1}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","subjects":["t..t"]}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","subjects":["t"],"num_replicas":3}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","subjects":["t.*","t.a"]}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","max_age":1}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","max_age":1000000000,"duplicate_window":2000000000}"#),
    ("STREAM.CREATE.T", r#"{"name":"T","subjects":["t"],"max_consumers":1,"description":"d"}"#),
    ("STREAM.CREATE.U", "{"),
    ("STREAM.CREATE.U", ""),
    ("STREAM.UPDATE.U", r#"{"name":"U"}"#),
    ("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#),
    ("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"],"retention":"workqueue"}"#),
    ("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"],"allow_direct":true,"max_msgs":9}"#),
    ("s.a", "1"),
    ("s.b", "2"),
    ("s.c", "3"),
    ("STREAM.INFO.S", ""),
    ("STREAM.INFO.S", r#"{"subjects_filter":"s.>"}"#),
    ("STREAM.INFO.S", r#"{"deleted_details":true}"#),
    ("STREAM.NAMES", ""),
    ("STREAM.NAMES", r#"{"subject":"s.x"}"#),
    ("STREAM.NAMES", r#"{"subject":"none"}"#),
    ("STREAM.LIST", ""),
    ("STREAM.LIST", r#"{"subject":"none"}"#),
    ("STREAM.MSG.GET.S", r#"{"seq":1}"#),
    ("STREAM.MSG.GET.S", r#"{"last_by_subj":"s.*"}"#),
    ("STREAM.MSG.GET.S", r#"{"next_by_subj":"s.*"}"#),
    ("STREAM.MSG.GET.S", r#"{"next_by_subj":"s.*","last_by_subj":"s.*"}"#),
    ("STREAM.MSG.GET.S", r#"{"seq":99}"#),
    ("STREAM.MSG.GET.S", "{}"),
    ("STREAM.MSG.GET.NO", r#"{"seq":1}"#),
    ("STREAM.MSG.DELETE.S", r#"{"seq":2}"#),
    ("STREAM.MSG.DELETE.S", r#"{"seq":2}"#),
    ("STREAM.INFO.S", r#"{"deleted_details":true}"#),
    (
        "CONSUMER.CREATE.S.C",
        r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}}"#,
    ),
    (
        "CONSUMER.CREATE.S.C",
        r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit","filter_subjects":["s.a"]},"action":"create"}"#,
    ),
    (
        "CONSUMER.CREATE.S.C",
        r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit","filter_subjects":["s.a"]},"action":"update"}"#,
    ),
    (
        "CONSUMER.CREATE.S.C",
        r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"none"}}"#,
    ),
    (
        "CONSUMER.CREATE.S.C",
        r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit","deliver_policy":"new"}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D"},"action":"update"}"#,
    ),
    ("CONSUMER.CREATE.NO.D", r#"{"stream_name":"NO","config":{"durable_name":"D"}}"#),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D","filter_subjects":["s.a","s.>"]}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D","filter_subjects":["s.a",""]}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D","filter_subject":"s.a","filter_subjects":["s.b"]}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D","max_deliver":2,"backoff":[1,2,3]}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D","deliver_policy":"by_start_sequence"}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D",
        r#"{"stream_name":"S","config":{"durable_name":"D","opt_start_seq":3}}"#,
    ),
    ("CONSUMER.CREATE.S.D", r#"{"stream_name":"S","config":{"durable_name":"D","foo":1}}"#),
    (
        "CONSUMER.CREATE.S.D.s.b",
        r#"{"stream_name":"S","config":{"name":"D","filter_subject":"s.a"}}"#,
    ),
    (
        "CONSUMER.CREATE.S.D.s.a",
        r#"{"stream_name":"S","config":{"name":"D","filter_subject":"s.a","ack_policy":"all","backoff":[1000000000],"headers_only":true,"pause_until":"2200-01-01T00:00:00Z"}}"#,
    ),
    ("CONSUMER.CREATE.S", r#"{"stream_name":"S","config":{"ack_policy":"explicit"}}"#),
    ("CONSUMER.INFO.S.D", ""),
    ("CONSUMER.INFO.S.NO", ""),
    ("CONSUMER.INFO.NO.NO", ""),
    ("CONSUMER.NAMES.S", ""),
    ("CONSUMER.NAMES.NO", ""),
    ("CONSUMER.LIST.S", ""),
    ("CONSUMER.PAUSE.S.C", r#"{"pause_until":"2200-01-01T00:00:00Z"}"#),
    ("CONSUMER.PAUSE.S.C", ""),
    ("CONSUMER.DELETE.S.C", ""),
    ("CONSUMER.DELETE.S.C", ""),
    ("STREAM.PURGE.S", r#"{"seq":1,"keep":1}"#),
    ("STREAM.PURGE.S", r#"{"filter":"s.a"}"#),
    ("STREAM.DELETE.S", ""),
];
