use crate::{Limits, Span, read_decimal, scan};

/// One frame from a server. Spans are positions in the input given to [`Parser::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// MSG or HMSG.
    Message(MessageFrame),
    /// INFO, with its JSON.
    Info(Span),
    /// PING: to be answered with PONG.
    Ping,
    /// PONG: the answer to our oldest PING.
    Pong,
    /// +OK, which a server sends only to verbose clients.
    Ok,
    /// -ERR, with its text without quotes.
    Error(Span),
}

/// A message, as it lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageFrame {
    /// The subscription it is for, by the number that SUB gave.
    pub sid: u64,
    /// The subject it was published to. Any bytes but white space: a server does not check.
    pub subject: Span,
    /// Where an answer should go; empty if none is wanted.
    pub reply: Span,
    /// The header block with its version line; empty for MSG.
    pub headers: Span,
    /// The payload.
    pub payload: Span,
}

/// What one step of the parser came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole frame, and how many bytes of the input it took.
    Frame(Frame, usize),
    /// The input ends within a frame: come again with the same bytes and more. The frame is known to need `needed` bytes
    /// in all, or more.
    Incomplete {
        /// Length that the input must have before the next step can come to something. `needed > input.len()`
        needed: usize,
    },
}

/// What a server must never send. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The line begins with no known operation.
    #[error("the server sent an unknown operation")]
    UnknownOperation,
    /// MSG or HMSG with too few or too many arguments.
    #[error("the server sent a message line with a wrong number of arguments")]
    WrongArity,
    /// A subscription number or size that is no number, or too large for one.
    #[error("the server sent a message line with a bad number")]
    BadNumber,
    /// HMSG with more header bytes than bytes.
    #[error("the server sent a message whose headers are longer than the whole")]
    HeadersTooLong,
    /// The payload is not followed by CRLF: its size was wrong.
    #[error("the server sent a message that does not end where its size says")]
    BadMessageEnd,
    /// Longer than [`Limits::control_line_bytes`] or [`Limits::info_bytes`].
    #[error("the server sent a control line above the limit of {limit} bytes")]
    LineTooLong {
        /// The limit that was hit.
        limit: usize,
    },
    /// Larger than [`Limits::message_bytes`].
    #[error("the server announced a message of {size} bytes, above the limit of {limit}")]
    MessageTooLarge {
        /// What was announced.
        size: u64,
        /// The limit that was hit.
        limit: usize,
    },
}

/// Finds frames in the bytes that a server sends.
///
/// The parser keeps no bytes, only where it is: the caller holds the input, hands it over from the first byte of
/// the frame at hand, and drops what a frame took. Input may be split anywhere; nothing is looked at twice but the
/// operation's name.
///
/// ```
/// use jetlane_proto::{Frame, Limits, Parser, Step};
/// let mut parser = Parser::new(&Limits::default());
/// assert_eq!(parser.next(b"MSG a 1 5\r\nhel")?, Step::Incomplete { needed: 18 });
/// let input = b"MSG a 1 5\r\nhello\r\nPING\r\n";
/// let Step::Frame(Frame::Message(message), taken) = parser.next(input)? else { panic!() };
/// assert_eq!((message.payload.of(input), taken), (&b"hello"[..], 18));
/// assert_eq!(parser.next(&input[taken..])?, Step::Frame(Frame::Ping, 6));
/// # Ok::<(), jetlane_proto::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parser {
    state: State,
    control_line_bytes: usize,
    info_bytes: usize,
    message_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In a control line, whose first `scanned` bytes hold no line end.
    Line { scanned: usize },
    /// In the payload of a message whose line is read; the whole takes `len` bytes.
    Payload { message: MessageFrame, len: usize },
}

const START: State = State::Line { scanned: 0 };

impl Parser {
    /// One with the same limits, at the beginning.
    pub fn anew(&self) -> Self {
        Self { state: START, ..self.clone() }
    }

    /// A parser at the beginning of a connection. Of `limits` it heeds `control_line_bytes`, `info_bytes` and
    /// `message_bytes`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: START,
            control_line_bytes: limits.control_line_bytes,
            info_bytes: limits.info_bytes,
            message_bytes: limits.message_bytes,
        }
    }

    /// Looks for the next frame in `input`, which begins at the first byte that no frame has taken.
    ///
    /// # Errors
    /// [`ParseError`] if the server broke the protocol; the connection can not be used any more.
    pub fn next(&mut self, input: &[u8]) -> Result<Step, ParseError> {
        match self.state {
            State::Payload { message, len } => self.message(input, message, len),
            State::Line { scanned } => self.line(input, scanned),
        }
    }

    /// The next frame, if it is a whole message, written as servers write nearly all: several times as fast as
    /// [`Parser::next`], which must be asked if this is `None`, and then says what it is.
    // Inlined with all that it calls, so that what it finds stays in registers: put together in memory and loaded again at
    // once, it cost as much as finding it.
    #[inline(always)]
    pub fn next_message(&self, input: &[u8]) -> Option<(MessageFrame, usize)> {
        if !matches!(self.state, State::Line { scanned: 0 }) {
            return None;
        }
        let (message, len) = self.usual_message(input)?;
        let end = input.get(len - 2..len)?.first_chunk::<2>()?;
        (end == b"\r\n").then_some((message, len))
    }

    /// Reads a control line as nats-server writes those of messages: operation in upper case, one space between arguments,
    /// CRLF. `None` for any other, for a broken one, and for one too near to the end of the input to tell.
    #[inline(always)]
    fn usual_message(&self, input: &[u8]) -> Option<(MessageFrame, usize)> {
        match input {
            [b'M', b'S', b'G', b' ', ..] => self.usual_line::<false>(input, 4),
            [b'H', b'M', b'S', b'G', b' ', ..] => self.usual_line::<true>(input, 5),
            _ => None,
        }
    }

    #[inline(always)]
    fn usual_line<const HEADERS: bool>(
        &self,
        input: &[u8],
        args_at: usize,
    ) -> Option<(MessageFrame, usize)> {
        let subject = scan::word(input, args_at)?;
        let sid_at = subject.range().end + 1;
        let sid = scan::small_number(input, sid_at).or_else(|| scan::number(input, sid_at));
        let (sid, at) = sid?;
        let mut at = behind(input, at, b" ")?;
        let mut reply = Span::default();
        // A reply subject of digits could be taken for a size; then the line has one number too many, and is not read here.
        if !input[at].is_ascii_digit() {
            reply = scan::word(input, at)?;
            at = reply.range().end + 1;
        }
        let (mut total, mut at) = scan::small_number(input, at)?;
        let mut header = 0;
        if HEADERS {
            header = total;
            (total, at) = scan::small_number(input, behind(input, at, b" ")?)?;
        }
        let body_at = behind(input, at, b"\r\n")?;
        let (header, total) = (usize::try_from(header).ok()?, usize::try_from(total).ok()?);
        // What breaks a limit is left to who says so.
        if header > total || total > self.message_bytes || body_at > self.control_line_bytes + 1 {
            return None;
        }
        let headers = Span::new(body_at..body_at + header);
        let payload = Span::new(body_at + header..body_at + total);
        Some((MessageFrame { sid, subject, reply, headers, payload }, body_at + total + 2))
    }

    /// Reads any line, of which `scanned` bytes are known not to hold its end.
    fn line(&mut self, input: &[u8], scanned: usize) -> Result<Step, ParseError> {
        let Some(found) = memchr::memchr(b'\n', input.get(scanned..).unwrap_or_default()) else {
            self.check_line(input, input.len())?;
            self.state = State::Line { scanned: input.len() };
            return Ok(Step::Incomplete { needed: input.len() + 1 });
        };
        let line_end = scanned + found;
        self.check_line(input, line_end)?;
        self.state = START;
        let line = match input[..line_end] {
            [ref line @ .., b'\r'] => line,
            ref line => line,
        };
        match line {
            [b'M', b'S', b'G', b' ', ..] => self.message_line::<3>(input, line, 4, line_end + 1),
            [b'H', b'M', b'S', b'G', b' ', ..] => {
                self.message_line::<4>(input, line, 5, line_end + 1)
            }
            _ => self.other_line(input, line, line_end + 1),
        }
    }

    #[inline]
    fn check_line(&self, input: &[u8], len: usize) -> Result<(), ParseError> {
        if len <= self.control_line_bytes {
            return Ok(());
        }
        let is_info = input[0].eq_ignore_ascii_case(&b'I');
        let limit = if is_info { self.info_bytes } else { self.control_line_bytes };
        if len <= limit { Ok(()) } else { Err(ParseError::LineTooLong { limit }) }
    }

    /// Reads `subject sid [reply] size` (MSG, MIN = 3) or `subject sid [reply] header_size size` (HMSG, MIN = 4).
    #[inline]
    fn message_line<const MIN: usize>(
        &mut self,
        input: &[u8],
        line: &[u8],
        args_at: usize,
        body_at: usize,
    ) -> Result<Step, ParseError> {
        let (args, count) = split_args(line, args_at);
        let has_reply = match count {
            _ if count == MIN => false,
            _ if count == MIN + 1 => true,
            _ => return Err(ParseError::WrongArity),
        };
        let number = |span: Span| read_decimal(span.of(line)).ok_or(ParseError::BadNumber);
        let sid = number(args[1])?;
        let total = number(args[count - 1])?;
        let header = if MIN == 4 { number(args[count - 2])? } else { 0 };
        if header > total {
            return Err(ParseError::HeadersTooLong);
        }
        let total = match usize::try_from(total) {
            Ok(total) if total <= self.message_bytes => total,
            _ => {
                let limit = self.message_bytes;
                return Err(ParseError::MessageTooLarge { size: total, limit });
            }
        };
        // `header <= total`, which fits.
        let payload_at = body_at + usize::try_from(header).unwrap_or(total);
        let message = MessageFrame {
            sid,
            subject: args[0],
            reply: if has_reply { args[2] } else { Span::default() },
            headers: Span::new(body_at..payload_at),
            payload: Span::new(payload_at..body_at + total),
        };
        self.message(input, message, body_at + total + 2)
    }

    /// Completes a message once all its `len` bytes are there.
    #[inline]
    fn message(
        &mut self,
        input: &[u8],
        message: MessageFrame,
        len: usize,
    ) -> Result<Step, ParseError> {
        if input.len() < len {
            self.state = State::Payload { message, len };
            return Ok(Step::Incomplete { needed: len });
        }
        if input[len - 2..len] != *b"\r\n" {
            return Err(ParseError::BadMessageEnd);
        }
        self.state = START;
        Ok(Step::Frame(Frame::Message(message), len))
    }

    /// Everything but messages in upper case: rare, so read with patience.
    #[cold]
    fn other_line(&mut self, input: &[u8], line: &[u8], taken: usize) -> Result<Step, ParseError> {
        let name_len =
            line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        let (name, rest) = line.split_at(name_len);
        let rest_at =
            name_len + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let rest = Span::new(rest_at..line.trim_ascii_end().len().max(rest_at));
        let frame = match name.to_ascii_uppercase().as_slice() {
            b"INFO" => Frame::Info(rest),
            b"PING" if rest.is_empty() => Frame::Ping,
            b"PONG" if rest.is_empty() => Frame::Pong,
            b"+OK" if rest.is_empty() => Frame::Ok,
            b"-ERR" => Frame::Error(unquoted(rest, line)),
            b"MSG" if !rest.is_empty() => {
                return self.message_line::<3>(input, line, rest_at, taken);
            }
            b"HMSG" if !rest.is_empty() => {
                return self.message_line::<4>(input, line, rest_at, taken);
            }
            b"MSG" | b"HMSG" => return Err(ParseError::WrongArity),
            _ => return Err(ParseError::UnknownOperation),
        };
        // Other lines longer than the control line limit were let through because they begin with an I.
        let is_info = matches!(frame, Frame::Info(_));
        if !is_info && line.len() > self.control_line_bytes {
            return Err(ParseError::LineTooLong { limit: self.control_line_bytes });
        }
        Ok(Step::Frame(frame, taken))
    }
}

/// Where `input` goes on behind `expected`, if that stands at `at`, and something behind it.
#[inline(always)]
fn behind<const N: usize>(input: &[u8], at: usize, expected: &[u8; N]) -> Option<usize> {
    let found = input.get(at..)?.first_chunk::<N>()? == expected;
    let end = at + N;
    (found && end < input.len()).then_some(end)
}

/// Splits at runs of spaces and tabs. Returns the first five arguments and how many there are, six meaning too many.
#[inline]
fn split_args(line: &[u8], from: usize) -> ([Span; 5], usize) {
    let mut args = [Span::default(); 5];
    let mut count = 0;
    let mut start = from;
    // A position past the end stands for a separator there.
    for at in from..=line.len() {
        if at < line.len() && !matches!(line[at], b' ' | b'\t') {
            continue;
        }
        if at > start {
            match args.get_mut(count) {
                Some(arg) => *arg = Span::new(start..at),
                None => return (args, 6),
            }
            count += 1;
        }
        start = at + 1;
    }
    (args, count)
}

/// The span without the quotes around it, if it has both.
fn unquoted(span: Span, line: &[u8]) -> Span {
    match span.of(line) {
        [b'\'', .., b'\''] => Span { start: span.start + 1, end: span.end - 1 },
        _ => span,
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
