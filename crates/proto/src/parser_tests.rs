use super::*;

/// A frame with its bytes, so that tables can be read.
#[derive(Debug, PartialEq)]
enum Seen {
    Message { sid: u64, subject: String, reply: String, headers: String, payload: Vec<u8> },
    Info(String),
    Ping,
    Pong,
    Ok,
    Error(String),
}

fn see(frame: Frame, input: &[u8]) -> Seen {
    let text = |span: Span| String::from_utf8_lossy(span.of(input)).into_owned();
    match frame {
        Frame::Message(message) => Seen::Message {
            sid: message.sid,
            subject: text(message.subject),
            reply: text(message.reply),
            headers: text(message.headers),
            payload: message.payload.of(input).to_vec(),
        },
        Frame::Info(json) => Seen::Info(text(json)),
        Frame::Ping => Seen::Ping,
        Frame::Pong => Seen::Pong,
        Frame::Ok => Seen::Ok,
        Frame::Error(reason) => Seen::Error(text(reason)),
    }
}

fn message(sid: u64, subject: &str, reply: &str, headers: &str, payload: &[u8]) -> Seen {
    let (subject, reply, headers) = (subject.into(), reply.into(), headers.into());
    Seen::Message { sid, subject, reply, headers, payload: payload.to_vec() }
}

/// Feeds `input` in pieces that end at `cuts`, as a connection would.
fn parse(input: &[u8], cuts: &[usize], limits: &Limits) -> Result<Vec<Seen>, ParseError> {
    let mut parser = Parser::new(limits);
    let mut seen = Vec::new();
    let mut taken = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        loop {
            let rest = &input[taken..cut];
            if let Some((message, len)) = parser.next_message(rest) {
                let step = Step::Frame(Frame::Message(message), len);
                assert_eq!(parser.clone().next(rest), Ok(step), "both ways say the same");
            }
            match parser.next(rest)? {
                Step::Frame(frame, len) => {
                    seen.push(see(frame, rest));
                    taken += len;
                }
                Step::Incomplete { needed } => {
                    assert!(needed > rest.len(), "an incomplete frame needs more than there is");
                    break;
                }
            }
        }
    }
    assert_eq!(taken, input.len(), "the conversation ends with a whole frame");
    Ok(seen)
}

/// What nats-server 2.15.1 says to a client that uses everything (recorded, host and ids made short).
const CONVERSATION: &[u8] = b"INFO {\"server_id\":\"NA\",\"version\":\"2.15.1\",\"proto\":1,\"headers\":true,\"max_payload\":1048576} \r\n\
PONG\r\n\
INFO {\"server_id\":\"NA\",\"connect_info\":true,\"remote_account\":\"$G\"} \r\n\
PING\r\n\
MSG order.created 1 5\r\nhello\r\n\
MSG order.created 1 _INBOX.abc.1 0\r\n\r\n\
HMSG order.created 12 12 12\r\nNATS/1.0\r\n\r\n\r\n\
HMSG order.created 12 _INBOX.abc.2 22 27\r\nNATS/1.0\r\nA: 1\r\nB:\r\n\r\na\r\nb\r\r\n\
HMSG _INBOX.abc.3 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\n\
+OK\r\n\
MSG order.created 18446744073709551615 11\r\nPING\r\nPONG\n\r\n\
-ERR 'Permissions Violation for Publish to \"x\"'\r\n\
PONG\r\n";

fn conversation() -> Vec<Seen> {
    vec![
        Seen::Info("{\"server_id\":\"NA\",\"version\":\"2.15.1\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}".into()),
        Seen::Pong,
        Seen::Info("{\"server_id\":\"NA\",\"connect_info\":true,\"remote_account\":\"$G\"}".into()),
        Seen::Ping,
        message(1, "order.created", "", "", b"hello"),
        message(1, "order.created", "_INBOX.abc.1", "", b""),
        message(12, "order.created", "", "NATS/1.0\r\n\r\n", b""),
        message(12, "order.created", "_INBOX.abc.2", "NATS/1.0\r\nA: 1\r\nB:\r\n\r\n", b"a\r\nb\r"),
        message(3, "_INBOX.abc.3", "", "NATS/1.0 503\r\n\r\n", b""),
        Seen::Ok,
        message(u64::MAX, "order.created", "", "", b"PING\r\nPONG\n"),
        Seen::Error("Permissions Violation for Publish to \"x\"".into()),
        Seen::Pong,
    ]
}

#[test]
fn a_whole_conversation() {
    assert_eq!(parse(CONVERSATION, &[], &Limits::default()), Ok(conversation()));
}

#[test]
fn the_conversation_cut_at_every_byte() {
    for cut in 0..=CONVERSATION.len() {
        assert_eq!(
            parse(CONVERSATION, &[cut], &Limits::default()),
            Ok(conversation()),
            "cut {cut}"
        );
    }
}

#[test]
fn the_conversation_cut_at_every_two_bytes() {
    for first in 0..=CONVERSATION.len() {
        for second in first..=CONVERSATION.len() {
            let seen = parse(CONVERSATION, &[first, second], &Limits::default());
            assert_eq!(seen, Ok(conversation()), "cuts {first} and {second}");
        }
    }
}

#[test]
fn the_conversation_byte_by_byte() {
    let cuts: Vec<_> = (0..CONVERSATION.len()).collect();
    assert_eq!(parse(CONVERSATION, &cuts, &Limits::default()), Ok(conversation()));
}

#[test]
fn what_servers_do_not_send_but_may() {
    for (input, expected) in [
        (&b"ping\r\n"[..], Seen::Ping),
        (b"Pong\n", Seen::Pong),
        (b"PING \r\n", Seen::Ping),
        (b"info\t{}\r\n", Seen::Info("{}".into())),
        (b"INFO\r\n", Seen::Info(String::new())),
        (b"-ERR\r\n", Seen::Error(String::new())),
        (b"-ERR '\r\n", Seen::Error("'".into())),
        (b"-ERR ''\r\n", Seen::Error(String::new())),
        (b"-err no quotes\r\n", Seen::Error("no quotes".into())),
        (b"msg a 1 1\r\nx\r\n", message(1, "a", "", "", b"x")),
        (b"MSG  a \t1  r   1 \r\nx\r\n", message(1, "a", "r", "", b"x")),
        (b"MSG \xff\x00 1 1\r\nx\r\n", message(1, "\u{fffd}\0", "", "", b"x")),
        (b"HMSG a 1 0 1\r\nx\r\n", message(1, "a", "", "", b"x")),
    ] {
        let shown = String::from_utf8_lossy(input);
        assert_eq!(parse(input, &[], &Limits::default()), Ok(vec![expected]), "{shown}");
    }
}

#[test]
fn what_servers_must_not_send() {
    use ParseError::*;
    let limit = Limits::default().message_bytes;
    for (input, expected) in [
        (&b"\r\n"[..], UnknownOperation),
        (b" PING\r\n", UnknownOperation),
        (b"PINGx\r\n", UnknownOperation),
        (b"PING x\r\n", UnknownOperation),
        (b"+OKAY\r\n", UnknownOperation),
        (b"PUB a 1\r\n", UnknownOperation),
        (b"MSGa 1 1\r\n", UnknownOperation),
        (b"MSG\r\n", WrongArity),
        (b"MSG \r\n", WrongArity),
        (b"MSG a\r\n", WrongArity),
        (b"MSG a 1\r\n", WrongArity),
        (b"MSG a 1 r 1 1\r\n", WrongArity),
        (b"MSG a 1 r 1 1 1 1 1\r\n", WrongArity),
        (b"HMSG a 1 1\r\n", WrongArity),
        (b"HMSG a 1 r 1 1 1\r\n", WrongArity),
        (b"MSG a x 1\r\n", BadNumber),
        (b"MSG a 1 -1\r\n", BadNumber),
        (b"MSG a 1 +1\r\n", BadNumber),
        (b"MSG a 1 1x\r\n", BadNumber),
        (b"MSG a 18446744073709551616 1\r\n", BadNumber),
        (b"MSG a 1 99999999999999999999\r\n", BadNumber),
        (
            b"MSG s 1 18446744073709551600\r\n",
            MessageTooLarge { size: 18_446_744_073_709_551_600, limit },
        ),
        (
            b"MSG s 1 9223372036854775807\r\n",
            MessageTooLarge { size: 9_223_372_036_854_775_807, limit },
        ),
        (b"MSG s 1 67108865\r\n", MessageTooLarge { size: 67_108_865, limit }),
        (b"HMSG s 1 3 2\r\n", HeadersTooLong),
        (b"HMSG s 1 18446744073709551615 2\r\n", HeadersTooLong),
        (b"MSG a 1 1\r\nxPING\r\n", BadMessageEnd),
        (b"MSG a 1 1\r\nx\n\n", BadMessageEnd),
    ] {
        let shown = String::from_utf8_lossy(input);
        assert_eq!(parse(input, &[], &Limits::default()), Err(expected), "{shown}");
    }
}

#[test]
fn endless_lines_are_refused_when_they_pass_the_limit() {
    let limits = Limits { control_line_bytes: 64, info_bytes: 128, ..Limits::default() };
    for (start, limit) in [("MSG ", 64), ("", 64), ("-ERR '", 64), ("IXXX ", 128), ("INFO ", 128)] {
        let line = |len: usize| format!("{start}{}", "x".repeat(len - start.len()));
        let mut parser = Parser::new(&limits);
        let needed = parser.next(line(limit).as_bytes());
        assert_eq!(needed, Ok(Step::Incomplete { needed: limit + 1 }), "{start}");
        let refused = parser.next(line(limit + 1).as_bytes());
        assert_eq!(refused, Err(ParseError::LineTooLong { limit }), "{start}");
    }
    // An end of line in the same read does not make an overlong line good.
    let long = format!("-ERR '{}'\r\n", "x".repeat(64));
    assert_eq!(
        Parser::new(&limits).next(long.as_bytes()),
        Err(ParseError::LineTooLong { limit: 64 })
    );
}

mod splits {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes, however it is cut: the same frames and the same error, and no panic.
        #[test]
        fn any_input_any_cuts(
            input in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                proptest::collection::vec(
                    proptest::sample::select(vec![
                        "MSG a 1 2\r\nxx\r\n",
                        "HMSG a 1 r 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
                        "PING\r\n",
                        "-ERR 'x'\r\n",
                        "MSG a 1 9\r\n",
                        "\r\n",
                        "INFO {}\r\n",
                    ]),
                    0..12,
                ).prop_map(|frames| frames.concat().into_bytes()),
            ],
            mut cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(input.len()));
            cuts.sort_unstable();
            prop_assert_eq!(frames(&input, &cuts), frames(&input, &[]));
        }
    }

    fn frames(input: &[u8], cuts: &[usize]) -> (Vec<Seen>, Option<ParseError>) {
        let mut parser = Parser::new(&Limits { control_line_bytes: 100, ..Limits::default() });
        let (mut seen, mut taken) = (Vec::new(), 0);
        for &cut in cuts.iter().chain([&input.len()]) {
            loop {
                match parser.next(&input[taken..cut]) {
                    Ok(Step::Frame(frame, len)) => {
                        seen.push(see(frame, &input[taken..cut]));
                        taken += len;
                    }
                    Ok(Step::Incomplete { .. }) => break,
                    Err(error) => return (seen, Some(error)),
                }
            }
        }
        (seen, None)
    }
}

proptest::proptest! {
    /// What is read eight bytes at a time is what is read byte by byte, or left to it.
    #[test]
    fn the_usual_way_says_what_the_other_one_says(
        // Sound parts are many, and broken ones few, so that some lines are sound and the others broken in one place.
        operation in "(MSG |MSG |MSG |HMSG |HMSG |HMSG |msg |MSG\t|MSG  )",
        subject in "[a-z.$]{1,20}",
        sid in "( | | |  |\t)([0-9]|[0-9]{1,9}|x)",
        reply in "(| [a-z.$]{1,20}| [a-z][0-9]{1,20}| [0-9])",
        sizes in "( [0-9]{1,2}){1,2}",
        end in "(\r\n|\r\n|\r\n|\n|\r|\0)",
        body in "[a-z\r\n]{0,30}",
        room in 0usize..3,
        message_bytes in 0usize..40,
    ) {
        let input = format!("{operation}{subject}{sid}{reply}{sizes}{end}{body}\r\nPING\r\n");
        let line = input.find('\n').unwrap_or_default();
        let control_line_bytes = line.saturating_sub(1) + room;
        let limits = Limits { control_line_bytes, message_bytes, ..Limits::default() };
        let mut parser = Parser::new(&limits);
        if let Some((message, len)) = parser.usual_message(input.as_bytes()) {
            let usual = parser.clone().message(input.as_bytes(), message, len);
            proptest::prop_assert_eq!(usual, parser.line(input.as_bytes(), 0));
        }
    }
}

#[test]
fn what_a_server_writes_is_read_the_usual_way() {
    let parser = Parser::new(&Limits::default());
    for frame in [
        "MSG a 1 2\r\nok\r\n--------",
        "MSG order.created.with.many.tokens 1234567 _INBOX.x.1 0\r\n\r\n------",
        "MSG a 12 $JS.ACK.S.C.1.20.3.1795211446143991989.5 1048576\r\n---------",
        "HMSG a 1 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
        "HMSG a 1 reply 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
    ] {
        assert!(parser.usual_message(frame.as_bytes()).is_some(), "{frame:?}");
    }
}
