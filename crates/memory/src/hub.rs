use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use jetlane_proto::SubjectFilter;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::client_op::{ClientOp, Publish};
use crate::clock::Now;
use crate::content::Content;
use crate::jetstream::{Emission, Handled, JetStream, Request, Turn};
use crate::outgoing::Outgoing;
use crate::routes::{ClientId, ClientOptions, Routed, Routes};

/// All that the server knows, under one lock.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Something is due earlier than the timer knows, or all is over.
    pub(crate) sooner: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    routes: Routes,
    jetstream: JetStream,
    /// When the timer wakes; never later than anything is due. `None` is never.
    pub(crate) wakes_at: Option<Instant>,
    pub(crate) is_over: bool,
    last_client: u64,
    /// All that have not ended, also those that are not listened to any more.
    connections: HashMap<ClientId, Arc<Outgoing>>,
}

impl Hub {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// `op` was said by the client `id`.
    pub(crate) fn apply(&self, state: &mut State, id: ClientId, op: &ClientOp<'_>) {
        let now = Now::read();
        let mut turn = Turn::new(now);
        match op {
            ClientOp::Publish(message) => state.publish(id, message, &mut turn),
            other => state.obey(id, other),
        }
        state.emit(turn.out, now);
        self.remind(state, turn.due);
    }

    /// Does what is due.
    pub(crate) fn on_time(state: &mut State) {
        let now = Now::read();
        let mut turn = Turn::new(now);
        state.jetstream.on_time(&state.routes, &mut turn);
        state.emit(turn.out, now);
        state.wakes_at = state.jetstream.next_due(now);
    }

    fn remind(&self, state: &mut State, due: Option<Instant>) {
        if let Some(due) = due
            && state.wakes_at.is_none_or(|wakes_at| due < wakes_at)
        {
            state.wakes_at = Some(due);
            self.sooner.notify_all();
        }
    }
}

impl State {
    /// A new connection; `None` if there shall be none any more.
    pub(crate) fn join(&mut self, outgoing: Arc<Outgoing>) -> Option<ClientId> {
        if self.is_over {
            return None;
        }
        self.last_client += 1;
        let id = ClientId(self.last_client);
        self.connections.insert(id, Arc::clone(&outgoing));
        self.routes.join(id, outgoing);
        Some(id)
    }

    /// The client is not listened to any more. What it is still to be told is written.
    pub(crate) fn leave(&mut self, id: ClientId) {
        self.routes.leave(id);
    }

    /// The connection has ended.
    pub(crate) fn forget(&mut self, id: ClientId) {
        self.leave(id);
        self.connections.remove(&id);
    }

    /// Ends all connections at once.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
        self.connections.values().for_each(|connection| connection.cut());
    }

    /// What is said about the connection itself.
    fn obey(&mut self, id: ClientId, op: &ClientOp<'_>) {
        match *op {
            ClientOp::Connect(json) => {
                let options: ClientOptions = serde_json::from_slice(json).unwrap_or_default();
                self.routes.set_options(id, options);
            }
            ClientOp::Ping => self.routes.say(id, "PONG\r\n"),
            ClientOp::Subscribe { filter, queue, sid } => match SubjectFilter::new(filter) {
                Ok(filter) => self.routes.subscribe(id, sid, filter, queue),
                Err(_) => self.routes.say(id, "-ERR 'Invalid Subject'\r\n"),
            },
            ClientOp::Unsubscribe { sid, max } => self.routes.unsubscribe(id, sid, max),
            ClientOp::Publish(_) | ClientOp::Nothing => {}
        }
    }

    fn publish(&mut self, id: ClientId, message: &Publish<'_>, turn: &mut Turn) {
        let Publish { subject, reply, headers, payload } = *message;
        let content = Content::new(headers, payload);
        let request = Request { subject, reply, content: &content };
        let handled = self.jetstream.handle(&request, &self.routes, turn);
        let routed = Routed { to: subject, subject, reply, content: &content, from: Some(id) };
        let received = self.routes.deliver(&routed);
        if let (Handled::No, 0, Some(reply)) = (handled, received, reply) {
            self.routes.tell_no_responders(id, subject, reply);
        }
    }

    /// Sends what JetStream has to say. An advisory may be stored by a stream, which may have more to say.
    fn emit(&mut self, out: Vec<Emission>, now: Now) {
        let mut queue: VecDeque<Emission> = out.into();
        while let Some(emission) = queue.pop_front() {
            let Emission { to, subject, reply, content } = &emission;
            let routed = Routed { to, subject, reply: reply.as_deref(), content, from: None };
            self.routes.deliver(&routed);
            if emission.is_advisory() {
                let mut turn = Turn::new(now);
                let request = Request { subject: to, reply: None, content };
                self.jetstream.handle(&request, &self.routes, &mut turn);
                queue.extend(turn.out);
            }
        }
    }
}
