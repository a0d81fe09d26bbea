//! One connection to one server: socket, input, output, session.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_proto::{
    Frame, Greeting, MessageFrame, Parser, Pong, Session, SessionError, Span, Step,
};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::input::Input;
use super::output::Output;
use super::routes::Routes;
use crate::error::LinkError;
use crate::options::ConnectOptions;
use crate::pending::Resolver;
use crate::shared::Shared;
use crate::sink::Out;
use crate::stats::count;
use crate::{FlushError, MessageRef};

pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    pub(crate) token: Token,
    socket: TcpStream,
    pub(crate) session: Session<Resolver<Result<(), FlushError>>>,
    parser: Parser,
    input: Input,
    pub(crate) output: Output,
    /// Why nothing can be written any more. What the peer said before it closed may still be read.
    broken: Option<io::Error>,
    /// We have said that we have ended.
    finished: bool,
    /// The socket may have something to read: edge-triggered, so it is on us to remember.
    pub(crate) must_read: bool,
    /// The socket takes more, as far as we know.
    pub(crate) writable: bool,
    /// The TCP handshake is under way.
    connecting: bool,
    /// The peer has sent its last byte: read on until we have it.
    pub(crate) read_closed: bool,
    opened: Instant,
    /// Flushes whose PONG came in this turn. They are told when the sinks have handed on what came before it.
    pub(crate) flushed: Vec<Resolver<Result<(), FlushError>>>,
}

/// What the frames of one read have changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The first INFO came: CONNECT is to be sent.
    pub(crate) greeted: bool,
    /// The handshake has ended.
    pub(crate) ready: bool,
    /// Messages were handed to sinks.
    pub(crate) delivered: bool,
}

impl Link {
    /// Begins to connect. `number` tells the events of this link from those of others.
    pub(crate) fn open(
        poll: &Poll,
        address: SocketAddr,
        options: &ConnectOptions,
        number: usize,
        now: Instant,
    ) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        let token = Token(number);
        poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            address,
            token,
            socket,
            session: Session::new(options.session, now),
            parser: Parser::new(&options.limits),
            input: Input::new(),
            output: Output::default(),
            broken: None,
            finished: false,
            must_read: false,
            writable: false,
            connecting: true,
            read_closed: false,
            opened: now,
            flushed: Vec::new(),
        })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened)
    }

    /// True if writing would come to something now.
    pub(crate) fn can_write_more(&self) -> bool {
        self.writable && (self.connecting || self.output.unwritten() > 0)
    }

    /// True if reading may come to something, and may be done.
    pub(crate) fn may_read(&self) -> bool {
        self.must_read && !self.connecting && !self.output.owes_much()
    }

    /// True once [`Link::finish`] was called.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Tells the peer that nothing more will come. What it still sends is read.
    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            // It can only fail on a socket that is gone, which the next read finds out.
            let _ = self.socket.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Writes as much as the socket takes. Returns how many bytes that was.
    pub(crate) fn write(&mut self) -> io::Result<usize> {
        if self.connecting && !self.has_connected()? {
            return Ok(0);
        }
        let mut written = 0;
        while self.writable && self.output.unwritten() > 0 {
            match self.output.write_to(&mut self.socket) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                failed => {
                    self.broken = failed.err().or(Some(ErrorKind::WriteZero.into()));
                    (self.writable, self.must_read) = (false, true);
                }
            }
        }
        Ok(written)
    }

    /// Whether the TCP handshake has ended well.
    fn has_connected(&mut self) -> io::Result<bool> {
        if !self.writable {
            return Ok(false);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                self.writable = false;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        // Without this, a request and its reply can wait 40 ms for each other's delayed acknowledgements.
        self.socket.set_nodelay(true)?;
        self.connecting = false;
        Ok(true)
    }

    /// Reads until the socket is dry or the turn's budget is used, and hands all whole frames on.
    pub(crate) fn read(
        &mut self,
        routes: &mut Routes,
        shared: &Arc<Shared>,
        now: Instant,
    ) -> Result<Progress, LinkError> {
        let mut progress = Progress::default();
        let mut budget = shared.limits.turn_bytes;
        while self.may_read() && budget > 0 {
            let space = self.input.space();
            let asked = space.len();
            match self.socket.read(space) {
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(got) => {
                    self.input.filled(got);
                    count(&shared.counters.bytes_in, got as u64);
                    budget = budget.saturating_sub(got);
                    // A short read means a dry socket, and the next byte is a new event; unless the end is near, whose
                    // event may have come already.
                    self.must_read = got == asked || self.read_closed;
                    self.parse(routes, shared, now, &mut progress)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.must_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.broken.take_if(|_| !self.must_read) {
            Some(error) => Err(error.into()),
            None => Ok(progress),
        }
    }

    /// Hands on all whole frames in the input.
    fn parse(
        &mut self,
        routes: &mut Routes,
        shared: &Arc<Shared>,
        now: Instant,
        progress: &mut Progress,
    ) -> Result<(), LinkError> {
        let mut messages = 0;
        let needed = loop {
            if self.session.is_ready()
                && let Some((message, len)) = self.parser.next_message(self.input.unparsed())
            {
                messages += 1;
                deliver(routes, &mut self.output, &self.input.unparsed()[..len], message, now);
                self.input.take(len);
                continue;
            }
            match self.parser.next(self.input.unparsed())? {
                Step::Frame(Frame::Message(message), len) => {
                    if !self.session.is_ready() {
                        return Err(SessionError::NotNats.into());
                    }
                    messages += 1;
                    self.deliver_unusual(routes, message, len, now);
                    self.input.take(len);
                }
                Step::Frame(frame, len) => {
                    self.control(frame, shared, now, progress)?;
                    self.input.take(len);
                }
                Step::Incomplete { needed } => break needed,
            }
        };
        progress.delivered |= messages > 0;
        count(&shared.counters.messages_in, messages);
        self.input.make_space(needed);
        Ok(())
    }

    #[cold]
    fn deliver_unusual(
        &mut self,
        routes: &mut Routes,
        message: MessageFrame,
        len: usize,
        now: Instant,
    ) {
        deliver(routes, &mut self.output, &self.input.unparsed()[..len], message, now);
    }

    #[cold]
    fn control(
        &mut self,
        frame: Frame,
        shared: &Arc<Shared>,
        now: Instant,
        progress: &mut Progress,
    ) -> Result<(), LinkError> {
        let text = |span: Span| span.of(self.input.unparsed());
        match frame {
            Frame::Info(json) => match self.session.on_info(text(json))? {
                Greeting::Connect if self.session.info().tls_required => {
                    return Err(LinkError::TlsRequired);
                }
                Greeting::Connect if !self.session.info().headers => {
                    return Err(LinkError::NoHeaders);
                }
                Greeting::Connect => progress.greeted = true,
                Greeting::Update => shared.set_info(self.session.info()),
            },
            Frame::Error(reason) => {
                let error = self.session.on_error(text(reason))?;
                *shared.last_error.lock() = Some(error.to_string());
            }
            _ => self.session.expect_greeted()?,
        }
        match frame {
            Frame::Ping => self.output.pong(),
            Frame::Pong => match self.session.on_pong(now) {
                Pong::Ready => progress.ready = true,
                Pong::Flushed(done) => self.flushed.push(done),
                Pong::Alive => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// Ends the connection.
    pub(crate) fn shut(&mut self, poll: &Poll) {
        // Both can only fail on a socket that is gone already.
        let _ = poll.registry().deregister(&mut self.socket);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Hands a message to the sink of its subscription.
// Inlined, so that what the parser found goes to the sink without being put together and taken apart on the way.
#[inline(always)]
fn deliver(routes: &mut Routes, output: &mut Output, frame: &[u8], at: MessageFrame, now: Instant) {
    // A message that was on its way when its subscription ended is nobody's.
    if let Some(sink) = routes.taker(at.sid) {
        let mut out = Out { bytes: output.next(), now, connected: true, sid: at.sid };
        sink.message(&MessageRef::new(frame, at), &mut out);
    }
}
