//! What must hold of the parser and of the readers behind it, whatever a server sends.
//!
//! An input is a conversation, mostly as it would be on the wire. Two things may be added that no frame begins with
//! or needs: `!` and three bytes in front choose small limits, and what stands behind the last `~` says where
//! [`check_split`] cuts.

use super::owned::{Owned, own};
use super::parts;
use jetlane_proto::{Frame, Limits, ParseError, Parser, Step};

/// Checks that any bytes, given whole, come to frames within them, to an error or to a bounded wish for more.
pub(crate) fn check_bytes(data: &[u8]) {
    let (limits, input) = take_limits(data);
    let mut parser = Parser::new(&limits);
    let mut rest = input;
    loop {
        match next(&mut parser, rest) {
            Ok(Step::Frame(frame, taken)) => {
                assert!(0 < taken && taken <= rest.len(), "took {taken} of {} bytes", rest.len());
                let (bytes, behind) = rest.split_at(taken);
                parts::check_frame(frame, bytes, &limits);
                rest = behind;
            }
            Ok(Step::Incomplete { needed }) => return check_needed(needed, rest, &limits),
            Err(error) => return check_error(error, rest),
        }
    }
}

/// Checks that an input comes to the same frames and the same end however it is cut.
pub(crate) fn check_split(data: &[u8]) {
    let (limits, data) = take_limits(data);
    let (input, gaps) = take_gaps(data);
    let whole = read_in_pieces(input, &limits, &[]);
    for gaps in [gaps, &[1]] {
        let pieces = read_in_pieces(input, &limits, gaps);
        assert_eq!(pieces, whole, "cut by gaps of {gaps:?} bytes");
    }
}

/// The next step; the short way to it must say the same, if it says anything.
fn next(parser: &mut Parser, rest: &[u8]) -> Result<Step, ParseError> {
    let short = parser.next_message(rest);
    let step = parser.next(rest);
    if let Some((message, len)) = short {
        assert_eq!(step, Ok(Step::Frame(Frame::Message(message), len)));
    }
    step
}

/// What a conversation came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    frames: Vec<Owned>,
    taken: usize,
    error: Option<ParseError>,
}

/// Feeds `input` as a connection would, in pieces as long as `gaps` say, over and over; in one piece if they say
/// nothing. A gap of 0 shows the parser the same bytes again.
fn read_in_pieces(input: &[u8], limits: &Limits, gaps: &[u8]) -> Outcome {
    let mut parser = Parser::new(limits);
    let mut outcome = Outcome { frames: Vec::new(), taken: 0, error: None };
    // Before the frame at hand can be whole or wrong, this many of its bytes must be there.
    let mut needed = 0;
    for end in ends(input.len(), gaps) {
        loop {
            let rest = &input[outcome.taken..end];
            let step = next(&mut parser, rest);
            let waits = matches!(step, Ok(Step::Incomplete { .. }));
            assert!(waits || rest.len() >= needed, "{step:?} with {} of {needed}", rest.len());
            match step {
                Ok(Step::Frame(frame, taken)) => {
                    assert!(needed <= taken, "asked for {needed} bytes, then took {taken}");
                    outcome.frames.push(own(frame, rest));
                    outcome.taken += taken;
                    needed = 0;
                }
                Ok(Step::Incomplete { needed: now }) => {
                    assert!(now >= needed, "asked for {needed} bytes, then for {now}");
                    check_needed(now, rest, limits);
                    needed = now;
                    break;
                }
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
    }
    outcome
}

/// Where the pieces end: ascending, the last at `len`.
fn ends(len: usize, gaps: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    // Gaps that are all 0 would never get there.
    if gaps.iter().any(|&gap| gap > 0) {
        let mut end = 0;
        for gap in gaps.iter().cycle() {
            end += usize::from(*gap);
            if end >= len {
                break;
            }
            ends.push(end);
        }
    }
    ends.push(len);
    ends
}

/// More is asked for, and never more than the limits leave for the line or the message that is at hand.
fn check_needed(needed: usize, input: &[u8], limits: &Limits) {
    assert!(needed > input.len(), "needs {needed} and has {}", input.len());
    // The search that is fast when there is nothing to find goes first: a long line comes byte by byte.
    let has_line = input.contains(&b'\n');
    let line = has_line.then(|| input.iter().position(|&byte| byte == b'\n')).flatten();
    let most = match line {
        Some(line) => {
            assert!(line <= limits.control_line_bytes, "a line of {line} under {limits:?}");
            line + 1 + limits.message_bytes + 2
        }
        None if input.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'I')) => {
            limits.control_line_bytes.max(limits.info_bytes) + 1
        }
        None => limits.control_line_bytes + 1,
    };
    assert!(needed <= most, "needs {needed}, of {most} at most, under {limits:?}");
}

/// An error says something, and none is found in nothing.
fn check_error(error: ParseError, input: &[u8]) {
    assert!(!input.is_empty(), "{error} in no bytes at all");
    assert!(!error.to_string().is_empty());
}

/// `!` and three bytes in front of the conversation choose its limits.
fn take_limits(data: &[u8]) -> (Limits, &[u8]) {
    match data {
        [b'!', line, info, message, rest @ ..] => {
            let limits = Limits {
                control_line_bytes: usize::from(*line),
                info_bytes: 2 * usize::from(*info),
                message_bytes: 4 * usize::from(*message),
                ..Limits::default()
            };
            (limits, rest)
        }
        _ => (Limits::default(), data),
    }
}

/// What stands behind the last `~` of the input says where to cut it, in 16 bytes at most.
fn take_gaps(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().rposition(|&byte| byte == b'~') {
        Some(at) => (&data[..at], &data[at + 1..data.len().min(at + 17)]),
        None => (data, &[]),
    }
}
