//! One connection to one server: wire, input, output, session.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetlane_proto::{
    Frame, Greeting, MessageFrame, Parser, Pong, ServerError, Session, SessionError, Span, Step,
};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::barrier::Barrier;
use super::input::Input;
use super::output::Output;
use super::routes::Routes;
use super::watch::{BEHIND, Twins, Watch};
use super::wire::Wire;
use crate::error::LinkError;
use crate::options::ConnectOptions;
use crate::shared::Shared;
use crate::sink::Out;
use crate::stats::count;
use crate::tls::{self, Tls};
use crate::{MessageRef, ServerUrl};

/// More complaints of one turn are not told.
const MOST_COMPLAINTS: usize = 64;

pub(crate) struct Link {
    pub(crate) server: ServerUrl,
    pub(crate) address: SocketAddr,
    pub(crate) token: Token,
    wire: Wire,
    /// How TLS is to be done, if the user has said so.
    tls: Option<Tls>,
    pub(crate) session: Session<Barrier>,
    parser: Parser,
    input: Input,
    pub(crate) output: Output,
    watch: Watch,
    /// The server has said that it is about to stop.
    pub(crate) told_lame: bool,
    /// The handshake has ended, and nothing watches: messages go straight to their sinks.
    straight: bool,
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
    /// Barriers whose PONG came in this turn. They are lifted when the sinks have handed on what came before it.
    pub(crate) lifted: Vec<Barrier>,
}

/// What the frames of one read have changed.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The first INFO came: CONNECT is to be sent.
    pub(crate) greeted: bool,
    /// The handshake has ended.
    pub(crate) ready: bool,
    /// Messages were handed to sinks.
    pub(crate) delivered: bool,
    /// A later INFO came.
    pub(crate) informed: bool,
    /// What the server complained of.
    pub(crate) complaints: Vec<ServerError>,
}

/// How to reach a server, and with what.
pub(crate) struct Way {
    pub(crate) server: ServerUrl,
    pub(crate) address: SocketAddr,
    pub(crate) socket: TcpStream,
}

impl Link {
    /// A link over a socket that is being connected. `number` tells its events from those of others.
    pub(crate) fn open(
        poll: &Poll,
        way: Way,
        options: &ConnectOptions,
        number: usize,
        now: Instant,
    ) -> io::Result<Self> {
        let Way { server, address, mut socket } = way;
        let token = Token(number);
        poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            server,
            address,
            token,
            wire: Wire::new(socket),
            tls: options.tls.clone(),
            session: Session::new(options.session, now),
            parser: Parser::new(&options.limits),
            input: Input::new(),
            output: Output::new(options.limits.write_queue_bytes),
            watch: Watch::Off,
            straight: false,
            told_lame: false,
            broken: None,
            finished: false,
            must_read: false,
            writable: false,
            connecting: true,
            read_closed: false,
            opened: now,
            lifted: Vec::new(),
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
        self.writable && (self.connecting || self.output.unwritten() > 0 || self.wire.wants_write())
    }

    /// How many bytes the socket has not taken yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.output.unwritten() + self.wire.held()
    }

    /// True if reading may come to something, and may be done: not while the peer has to take first, unless it never will.
    pub(crate) fn may_read(&self) -> bool {
        let waits = self.output.owes_much() && self.broken.is_none();
        self.must_read && !self.connecting && !waits && !self.watch.is_full()
    }

    /// True if what comes goes to no queue that could be full: a handshake, and what is held.
    pub(crate) fn reads_anyway(&self) -> bool {
        !self.is_ready() || self.watch.holds()
    }

    /// True once [`Link::finish`] was called.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Tells the peer that nothing more will come. What it still sends is read.
    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.wire.finish();
        }
    }

    /// A barrier whose PING stands behind all that was sent.
    pub(crate) fn await_pong(&mut self, barrier: Barrier) {
        if let Barrier::Flush { behind, .. } = barrier {
            self.session.on_sent(behind);
        }
        self.session.on_flush_sent(barrier);
    }

    /// Writes as much as the socket takes. Returns how many bytes that was.
    pub(crate) fn write(&mut self) -> Result<usize, LinkError> {
        if self.connecting && !self.has_connected()? {
            return Ok(0);
        }
        let mut written = 0;
        while self.can_write_more() {
            let result = match self.output.unwritten() {
                // What TLS has to say for itself.
                0 => self.wire.flush().map(|()| 1),
                _ => self.output.write_to(&mut self.wire).inspect(|count| written += count),
            };
            match result {
                Ok(count) if count > 0 => {}
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
    fn has_connected(&mut self) -> Result<bool, LinkError> {
        if !self.writable {
            return Ok(false);
        }
        let socket = &self.wire.socket;
        if let Some(error) = socket.take_error()? {
            return Err(error.into());
        }
        match socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                self.writable = false;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        // Without this, a request and its reply can wait 40 ms for each other's delayed acknowledgements.
        socket.set_nodelay(true)?;
        self.connecting = false;
        if let Some(tls) = self.tls.as_ref().filter(|tls| tls.is_first()) {
            self.wire.begin_tls(tls.open(self.server.tls_host())?);
        }
        Ok(true)
    }

    /// Reads until the socket is dry or the turn's budget is used, and hands all whole frames on. What they have changed is noted in
    /// `progress`, also if it fails behind them.
    pub(crate) fn read(
        &mut self,
        routes: &mut Routes,
        shared: &Arc<Shared>,
        now: Instant,
        progress: &mut Progress,
    ) -> Result<(), LinkError> {
        let mut budget = shared.limits.turn_bytes;
        while self.may_read() && budget > 0 && (self.reads_anyway() || !shared.is_blocked()) {
            let space = self.input.space();
            let asked = space.len();
            match self.wire.read(space) {
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(got) => {
                    self.input.filled(got);
                    self.session.on_heard();
                    count(&shared.counters.bytes_in, got as u64);
                    budget = budget.saturating_sub(got);
                    // A short read means a dry socket, and the next byte is a new event; unless the end is near, whose
                    // event may have come already; and a record of TLS is short for other reasons.
                    self.must_read = got == asked || self.read_closed || self.wire.has_tls();
                    self.parse(routes, shared, now, progress)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.must_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let tls = self.wire.take_tls_error().map(LinkError::Tls);
                    return Err(tls.unwrap_or(error.into()));
                }
            }
        }
        match self.broken.take_if(|_| !self.must_read) {
            Some(error) => Err(error.into()),
            None => Ok(()),
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
            if self.straight
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
                    self.control(frame, len, now, progress)?;
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
        let frame = &self.input.unparsed()[..len];
        if self.watch.passes(frame, routes.is_shared(message.sid), now) {
            deliver(routes, &mut self.output, frame, message, now);
        }
    }

    /// Has messages watched from now on. Returns how they were before.
    pub(crate) fn set_watch(&mut self, watch: Watch) -> Watch {
        let before = std::mem::replace(&mut self.watch, watch);
        self.straight = self.is_ready() && self.watch.is_off();
        before
    }

    /// True if so many messages were remembered that a move had better be given up.
    pub(crate) fn remembers_too_much(&self) -> bool {
        self.watch.remembers_too_much()
    }

    /// Ends a watch that has nothing more to do.
    pub(crate) fn keep_watch(&mut self, now: Instant) {
        if self.watch.is_over(now) {
            self.set_watch(Watch::Off);
        }
    }

    /// Hands on what was held, and what comes from now on, but for `twins`.
    pub(crate) fn replay(&mut self, routes: &mut Routes, twins: Twins, now: Instant) {
        let Watch::Hold(held) = self.set_watch(Watch::LeaveOut(twins, now + BEHIND)) else {
            return;
        };
        // The link's own parser may be in the midst of a frame.
        let mut parser = self.parser.anew();
        let mut at = 0;
        while let Ok(Step::Frame(Frame::Message(message), len)) = parser.next(&held.frames[at..]) {
            let frame = &held.frames[at..at + len];
            let shared = routes.is_shared(message.sid);
            if self.watch.passes(frame, shared, held.came_at(at).unwrap_or(now)) {
                deliver(routes, &mut self.output, frame, message, now);
            }
            at += len;
        }
    }

    #[cold]
    fn control(
        &mut self,
        frame: Frame,
        len: usize,
        now: Instant,
        progress: &mut Progress,
    ) -> Result<(), LinkError> {
        let text = |span: Span| span.of(self.input.unparsed());
        match frame {
            Frame::Info(json) => match self.session.on_info(text(json))? {
                Greeting::Connect => {
                    self.greet(len)?;
                    progress.greeted = true;
                }
                Greeting::Update => progress.informed = true,
            },
            Frame::Error(reason) => {
                let error = self.session.on_error(text(reason))?;
                // Somebody waits for what is denied; there can be no more of it than a turn has bytes.
                if error.denies() || progress.complaints.len() < MOST_COMPLAINTS {
                    progress.complaints.push(error);
                }
            }
            _ => self.session.expect_greeted()?,
        }
        match frame {
            Frame::Ping => self.output.pong(),
            Frame::Pong => match self.session.on_pong(now) {
                Pong::Ready => {
                    progress.ready = true;
                    self.straight = self.watch.is_off();
                }
                Pong::Flushed(barrier) => self.lifted.push(barrier),
                Pong::Alive => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// The first INFO has come, in a frame of `len` bytes: begins TLS if anybody wants it.
    fn greet(&mut self, len: usize) -> Result<(), LinkError> {
        let info = self.session.info();
        if !info.headers {
            return Err(LinkError::NoHeaders);
        }
        let demanded = self.tls.is_some() || self.server.tls;
        if self.wire.has_tls() || !(demanded || info.tls_required) {
            return Ok(());
        }
        if !(info.tls_required || info.tls_available) {
            return Err(LinkError::NotSecure);
        }
        // What comes before TLS, anybody could have put there.
        if self.input.unparsed().len() > len {
            return Err(LinkError::BytesBeforeTls);
        }
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => tls::usual()?,
        };
        self.wire.begin_tls(tls.open(self.server.tls_host())?);
        Ok(())
    }

    /// True if the connection has TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.wire.has_tls()
    }

    /// Ends the connection.
    pub(crate) fn shut(&mut self, poll: &Poll) {
        // Both can only fail on a socket that is gone already.
        let _ = poll.registry().deregister(&mut self.wire.socket);
        let _ = self.wire.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Hands a message to the sink of its subscription.
// Inlined, so that what the parser found goes to the sink without being put together and taken apart on the way.
#[inline(always)]
fn deliver(routes: &mut Routes, output: &mut Output, frame: &[u8], at: MessageFrame, now: Instant) {
    // A message that was on its way when its subscription ended is nobody's.
    if let Some(sink) = routes.taker(at.sid) {
        let (bytes, published) = output.for_sinks();
        let mut out = Out { bytes, published, now, connected: true, sid: at.sid };
        sink.message(&MessageRef::new(frame, at), &mut out);
    }
}
