//! Who gets which message.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jetlane_proto::SubjectFilter;
use serde::Deserialize;

use crate::content::Content;
use crate::outgoing::Outgoing;

/// Names a connection; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u64);

/// The subscriptions of all connections.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    clients: HashMap<ClientId, Client>,
    /// Subscriptions without wildcards, by their subject.
    literal: HashMap<Arc<str>, Vec<Subscriber>>,
    wild: Vec<Subscriber>,
    /// Which member of a queue group is next: all have their turn.
    turn: usize,
}

#[derive(Debug)]
struct Client {
    outgoing: Arc<Outgoing>,
    subscriptions: BTreeMap<Arc<str>, Subscription>,
    options: ClientOptions,
}

/// What a client says of itself in its CONNECT, as far as it matters here.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ClientOptions {
    /// Whether it gets what it publishes itself.
    echo: bool,
    /// Whether it wants to be told that nobody will answer.
    no_responders: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { echo: true, no_responders: false }
    }
}

#[derive(Debug)]
struct Subscription {
    filter: SubjectFilter,
    delivered: u64,
    max: Option<u64>,
}

#[derive(Clone, Debug)]
struct Subscriber {
    client: ClientId,
    sid: Arc<str>,
    filter: SubjectFilter,
    queue: Option<Arc<str>>,
}

/// A message on its way to who subscribed.
#[derive(Debug)]
pub(crate) struct Routed<'a> {
    /// What subscriptions are looked up by.
    pub(crate) to: &'a str,
    /// The subject that is written into the message: not the same where a consumer delivers to an inbox.
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    pub(crate) content: &'a Content,
    /// Who published it; `None` is the server.
    pub(crate) from: Option<ClientId>,
}

impl Routes {
    pub(crate) fn join(&mut self, id: ClientId, outgoing: Arc<Outgoing>) {
        let client =
            Client { outgoing, subscriptions: BTreeMap::new(), options: ClientOptions::default() };
        self.clients.insert(id, client);
    }

    pub(crate) fn leave(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        client.outgoing.end();
        for (sid, subscription) in client.subscriptions {
            self.forget(id, &sid, &subscription.filter);
        }
    }

    pub(crate) fn set_options(&mut self, id: ClientId, options: ClientOptions) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.options = options;
        }
    }

    /// Says something about the connection itself.
    pub(crate) fn say(&self, id: ClientId, line: &str) {
        if let Some(client) = self.clients.get(&id) {
            client.outgoing.push(&[line.as_bytes()]);
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        id: ClientId,
        sid: &str,
        filter: SubjectFilter,
        queue: Option<&str>,
    ) {
        self.unsubscribe(id, sid, None);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let sid: Arc<str> = sid.into();
        let subscription = Subscription { filter: filter.clone(), delivered: 0, max: None };
        client.subscriptions.insert(Arc::clone(&sid), subscription);
        let queue = queue.map(Arc::from);
        let subscriber = Subscriber { client: id, sid, filter: filter.clone(), queue };
        if filter.is_literal() {
            self.literal.entry(filter.as_str().into()).or_default().push(subscriber);
        } else {
            self.wild.push(subscriber);
        }
    }

    /// Ends a subscription; with `max`, once it got so many messages in all.
    pub(crate) fn unsubscribe(&mut self, id: ClientId, sid: &str, max: Option<u64>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(subscription) = client.subscriptions.get_mut(sid) else { return };
        match max {
            Some(max) if subscription.delivered < max => subscription.max = Some(max),
            _ => {
                let filter = subscription.filter.clone();
                client.subscriptions.remove(sid);
                self.forget(id, sid, &filter);
            }
        }
    }

    pub(crate) fn has_interest(&self, subject: &str) -> bool {
        self.literal.contains_key(subject)
            || self.wild.iter().any(|subscriber| subscriber.filter.matches(subject.as_bytes()))
    }

    /// Gives a message to all who subscribed, and to one of each queue group. Returns how many got it.
    pub(crate) fn deliver(&mut self, message: &Routed<'_>) -> usize {
        let found = self.receivers(message);
        found.iter().for_each(|subscriber| self.write(subscriber, message));
        found.len()
    }

    /// Tells who asked that nobody will answer, if it wants to know.
    pub(crate) fn tell_no_responders(&mut self, id: ClientId, subject: &str, reply: &str) {
        if !self.clients.get(&id).is_some_and(|client| client.options.no_responders) {
            return;
        }
        let content = Content::status("503", &format!("Nats-Subject: {subject}\r\n"));
        let message =
            Routed { to: reply, subject: reply, reply: None, content: &content, from: None };
        let own = self.matching(reply).find(|found| found.client == id && found.queue.is_none());
        if let Some(own) = own.cloned() {
            self.write(&own, &message);
        }
    }

    fn receivers(&mut self, message: &Routed<'_>) -> Vec<Subscriber> {
        let silent = message
            .from
            .filter(|from| self.clients.get(from).is_some_and(|client| !client.options.echo));
        let mut found = Vec::new();
        let mut groups: BTreeMap<Arc<str>, Vec<Subscriber>> = BTreeMap::new();
        for subscriber in self.matching(message.to).filter(|found| Some(found.client) != silent) {
            match &subscriber.queue {
                None => found.push(subscriber.clone()),
                Some(queue) => {
                    groups.entry(Arc::clone(queue)).or_default().push(subscriber.clone());
                }
            }
        }
        for (_, members) in groups {
            self.turn = self.turn.wrapping_add(1);
            found.push(members[self.turn % members.len()].clone());
        }
        found
    }

    fn matching<'a>(&'a self, subject: &'a str) -> impl Iterator<Item = &'a Subscriber> {
        let literal = self.literal.get(subject).into_iter().flatten();
        literal.chain(self.wild.iter().filter(|found| found.filter.matches(subject.as_bytes())))
    }

    fn write(&mut self, to: &Subscriber, message: &Routed<'_>) {
        let Some(client) = self.clients.get_mut(&to.client) else { return };
        let Some(subscription) = client.subscriptions.get_mut(&to.sid) else { return };
        client.outgoing.push(&[line(&to.sid, message).as_bytes(), message.content.all(), b"\r\n"]);
        subscription.delivered += 1;
        if subscription.max.is_some_and(|max| subscription.delivered >= max) {
            self.unsubscribe(to.client, &to.sid, None);
        }
    }

    fn forget(&mut self, id: ClientId, sid: &str, filter: &SubjectFilter) {
        let is_other = |found: &Subscriber| found.client != id || &*found.sid != sid;
        if !filter.is_literal() {
            self.wild.retain(is_other);
        } else if let Some(found) = self.literal.get_mut(filter.as_str()) {
            found.retain(is_other);
            if found.is_empty() {
                self.literal.remove(filter.as_str());
            }
        }
    }
}

/// The control line of a message.
fn line(sid: &str, message: &Routed<'_>) -> String {
    let Routed { subject, content, .. } = message;
    let reply = message.reply.map(|reply| format!("{reply} ")).unwrap_or_default();
    match content.headers().len() {
        0 => format!("MSG {subject} {sid} {reply}{}\r\n", content.len()),
        headers => format!("HMSG {subject} {sid} {reply}{headers} {}\r\n", content.len()),
    }
}
