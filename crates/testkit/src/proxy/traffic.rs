//! The thread of a proxy: it waits for sockets and orders, and moves what can be moved.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::faults::Faults;
use super::lane::{Lane, Record};
use super::{Direction, End};

pub(super) type Order = Box<dyn FnOnce(&mut Traffic) + Send>;

const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// Everything a proxy has and does. Only its thread touches it.
pub(super) struct Traffic {
    listener: TcpListener,
    upstream: u16,
    faults: [Faults; 2],
    links: Vec<Link>,
    /// Of every connection there ever was.
    pub(super) records: Vec<[Record; 2]>,
}

/// One connection of a client to the server.
struct Link {
    number: usize,
    client: TcpStream,
    server: TcpStream,
    lanes: [Lane; 2],
    /// It is over, and its peers get a reset.
    broken: bool,
}

/// What the thread waits for.
#[derive(Clone, Copy)]
enum Event {
    Woken,
    Client,
    Read(usize, Direction),
    Write(usize, Direction),
}

impl Traffic {
    pub(super) fn new(listener: TcpListener, upstream: u16) -> Traffic {
        let faults = [Faults::default(), Faults::default()];
        Traffic { listener, upstream, faults, links: Vec::new(), records: Vec::new() }
    }

    pub(super) fn faults(&mut self, direction: Direction) -> &mut Faults {
        &mut self.faults[direction as usize]
    }

    pub(super) fn newest(&self, direction: Direction) -> Record {
        self.record(self.records.len().wrapping_sub(1), direction)
    }

    pub(super) fn record(&self, index: usize, direction: Direction) -> Record {
        self.records.get(index).map(|pair| pair[direction as usize].clone()).unwrap_or_default()
    }

    pub(super) fn cut_all(&mut self, end: End) {
        self.links.iter_mut().for_each(|link| link.end(end));
        self.bury();
    }

    /// Ends every link that stands where one is to be ended.
    pub(super) fn make_cuts(&mut self) {
        for link in &mut self.links {
            for direction in DIRECTIONS {
                if link.broken || link.lanes[direction as usize].is_finished() {
                    continue;
                }
                let forwarded = self.records[link.number][direction as usize].forwarded;
                if let Some(end) = self.faults[direction as usize].take_cut(forwarded) {
                    link.end(end);
                }
            }
        }
        self.bury();
    }

    /// Works until `woken` ends.
    pub(super) fn run(mut self, orders: &Receiver<Order>, woken: &UnixStream) {
        loop {
            orders.try_iter().for_each(|order| order(&mut self));
            let Ok(events) = self.wait(woken) else { return };
            for event in events {
                match event {
                    Event::Woken if matches!((&*woken).read(&mut [0; 64]), Ok(0)) => return,
                    Event::Woken => {}
                    Event::Client => self.accept(),
                    Event::Read(index, direction) => self.read(index, direction),
                    Event::Write(index, direction) => self.write(index, direction),
                }
            }
            self.make_cuts();
        }
    }

    /// Waits until something can be done, and says what.
    fn wait(&self, woken: &UnixStream) -> io::Result<Vec<Event>> {
        let (now, mut until) = (Instant::now(), None::<Instant>);
        let mut events = vec![Event::Woken, Event::Client];
        let mut sockets =
            vec![PollFd::new(woken, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        // A socket of which nothing is wanted is left out: its end would be reported over and over.
        for (index, link) in self.links.iter().enumerate() {
            for direction in DIRECTIONS {
                let (lane, faults) =
                    (&link.lanes[direction as usize], &self.faults[direction as usize]);
                let (from, to) = link.ends(direction);
                if lane.wants_to_read(faults) {
                    events.push(Event::Read(index, direction));
                    sockets.push(PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN));
                }
                match lane.write_due(faults) {
                    Some(due) if due <= now => {
                        events.push(Event::Write(index, direction));
                        sockets.push(PollFd::from_borrowed_fd(to.as_fd(), PollFlags::OUT));
                    }
                    Some(due) => until = Some(until.map_or(due, |until| until.min(due))),
                    None => {}
                }
            }
        }
        let timeout = until.and_then(|until| Timespec::try_from(until.duration_since(now)).ok());
        match poll(&mut sockets, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let found = events.into_iter().zip(&sockets);
        Ok(found
            .filter(|(_, socket)| !socket.revents().is_empty())
            .map(|(event, _)| event)
            .collect())
    }

    fn accept(&mut self) {
        // The client may have gone again before it was accepted.
        let Ok((client, _)) = self.listener.accept() else { return };
        self.records.push([Record::default(), Record::default()]);
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream)) else {
            return close_by_reset(&client);
        };
        let mut link = Link::new(self.records.len() - 1, client, server);
        link.broken = link.set_up().is_err();
        self.links.push(link);
    }

    fn read(&mut self, index: usize, direction: Direction) {
        let link = &mut self.links[index];
        let (from, lane) = match direction {
            Direction::ToServer => (&link.client, &mut link.lanes[0]),
            Direction::ToClient => (&link.server, &mut link.lanes[1]),
        };
        if lane.read(from, &mut self.faults[direction as usize]).is_err() {
            link.broken = true;
        }
    }

    fn write(&mut self, index: usize, direction: Direction) {
        let link = &mut self.links[index];
        let (to, lane) = match direction {
            Direction::ToServer => (&link.server, &mut link.lanes[0]),
            Direction::ToClient => (&link.client, &mut link.lanes[1]),
        };
        let record = &mut self.records[link.number][direction as usize];
        if lane.write(to, &self.faults[direction as usize], record).is_err() {
            link.broken = true;
        }
    }

    /// Drops what is over.
    fn bury(&mut self) {
        self.links.iter().filter(|link| link.broken).for_each(Link::reset);
        self.links.retain(|link| !link.broken && !link.lanes.iter().all(Lane::is_over));
    }
}

impl Link {
    fn new(number: usize, client: TcpStream, server: TcpStream) -> Link {
        Link { number, client, server, lanes: [Lane::new(), Lane::new()], broken: false }
    }

    fn set_up(&self) -> io::Result<()> {
        for socket in [&self.client, &self.server] {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
        }
        Ok(())
    }

    /// Where bytes of the direction come from and where they go.
    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToServer => (&self.client, &self.server),
            Direction::ToClient => (&self.server, &self.client),
        }
    }

    fn end(&mut self, end: End) {
        let [to_server, to_client] = &mut self.lanes;
        let finished = end == End::Fin
            && to_server.finish(&self.server).and(to_client.finish(&self.client)).is_ok();
        self.broken = !finished;
    }

    fn reset(&self) {
        close_by_reset(&self.client);
        close_by_reset(&self.server);
    }
}

/// What it takes for the drop that follows to send a reset.
fn close_by_reset(socket: &TcpStream) {
    // It fails for a socket that is dead already.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}
