//! The servers that a connection may be made to.

use jetlane_proto::ServerError;

use crate::ServerUrl;
use crate::options::PoolOptions;

/// Servers in the order they are tried, round and round.
#[derive(Debug)]
pub(crate) struct Pool {
    entries: Vec<Entry>,
    /// The place of the server that was tried last.
    current: usize,
    /// Failures since a connection stood for a while.
    failures: usize,
    /// The rounds that those began, and how many servers are still to be tried in the last one.
    rounds: u32,
    left: usize,
    options: PoolOptions,
}

#[derive(Clone, Debug)]
struct Entry {
    url: ServerUrl,
    /// A server told us of it; otherwise the user did.
    discovered: bool,
    /// Attempts since it was last connected to.
    failures: u32,
    /// What it last said to our credentials.
    refusal: Option<ServerError>,
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try the next server, now if it was not tried in this round.
    Next {
        /// Rounds that are over: all servers were tried so often since a connection stood.
        rounds: u32,
        /// True if a round begins, and somebody should wait.
        waits: bool,
    },
    /// There is no use in trying.
    GiveUp,
}

impl Pool {
    /// `urls` must not be empty.
    pub(crate) fn new(urls: Vec<ServerUrl>, options: PoolOptions) -> Self {
        let mut pool =
            Self { entries: Vec::new(), current: 0, failures: 0, rounds: 0, left: 0, options };
        pool.replace(urls);
        pool
    }

    /// Forgets all servers, and takes these.
    pub(crate) fn replace(&mut self, urls: Vec<ServerUrl>) {
        self.entries = urls.into_iter().map(|url| Entry::new(url, false)).collect();
        if !self.options.keep_order {
            fastrand::shuffle(&mut self.entries);
        }
        self.current = self.entries.len().saturating_sub(1);
        self.on_steady_end();
    }

    /// All servers, in the order they are tried.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &ServerUrl> {
        self.entries.iter().map(|entry| &entry.url)
    }

    /// The server to try next. `None` if none is left.
    pub(crate) fn next(&mut self) -> Option<&ServerUrl> {
        if self.entries.is_empty() {
            return None;
        }
        let usual = (self.current + 1) % self.entries.len();
        self.current = match &self.options.choose {
            None => usual,
            Some(choose) => {
                let urls: Vec<_> = self.urls().cloned().collect();
                choose(&urls).filter(|&at| at < urls.len()).unwrap_or(usual)
            }
        };
        Some(&self.entries[self.current].url)
    }

    /// The server at `here` is the current one again, as no other was found.
    pub(crate) fn stay_with(&mut self, here: &ServerUrl) {
        let place = self.entries.iter().position(|entry| entry.url.is_same_place(here));
        self.current = place.unwrap_or(self.current);
    }

    /// The connection to the server at `here` stands: it is the current one.
    pub(crate) fn on_ready(&mut self, here: &ServerUrl) {
        self.stay_with(here);
        if let Some(entry) = self.entries.get_mut(self.current) {
            (entry.failures, entry.refusal) = (0, None);
        }
    }

    /// A connection that stood for a while has ended: the next attempts come at once again.
    pub(crate) fn on_steady_end(&mut self) {
        (self.failures, self.rounds, self.left) = (0, 0, 0);
    }

    /// The connection to the current server has ended, which is no failure of an attempt. `refusal` is what it said to our credentials.
    pub(crate) fn on_loss(&mut self, refusal: Option<ServerError>) -> Verdict {
        self.on_end(refusal, 0)
    }

    /// The attempt at the current server has failed. `refusal` is what it said to our credentials.
    pub(crate) fn on_failure(&mut self, refusal: Option<ServerError>) -> Verdict {
        self.on_end(refusal, 1)
    }

    fn on_end(&mut self, refusal: Option<ServerError>, failures: u32) -> Verdict {
        let Some(entry) = self.entries.get_mut(self.current) else { return Verdict::GiveUp };
        entry.failures = entry.failures.saturating_add(failures);
        // The same credentials will not be accepted the third time either.
        if refusal.is_some() && entry.refusal == refusal && !self.options.keep_trying_after_refusal
        {
            return Verdict::GiveUp;
        }
        entry.refusal = refusal;
        if self.options.max_attempts.is_some_and(|most| entry.failures >= most) {
            self.entries.remove(self.current);
            if self.entries.is_empty() {
                return Verdict::GiveUp;
            }
            self.current = self.current.checked_sub(1).unwrap_or(self.entries.len() - 1);
        }
        self.failures += 1;
        // A round is as long as it was when it began: who could make it longer as it goes would never let us wait.
        let waits = self.left == 0;
        if waits {
            (self.rounds, self.left) = (self.rounds.saturating_add(1), self.entries.len());
        }
        self.left -= 1;
        Verdict::Next { rounds: self.rounds - 1, waits }
    }

    /// True if every server has failed since a connection stood.
    pub(crate) fn have_all_failed(&self) -> bool {
        self.failures >= self.entries.len()
    }

    /// The server that we are connected to says that these are in its cluster. Returns those that are new; those that it told of before
    /// and does not any more are forgotten. One that the user has replaced has nothing to say.
    pub(crate) fn discover(&mut self, here: &ServerUrl, connect_urls: &[String]) -> Vec<String> {
        let is_known = self.urls().any(|url| url == here);
        if self.options.ignore_discovered || connect_urls.is_empty() || !is_known {
            return Vec::new();
        }
        let told: Vec<_> = connect_urls
            .iter()
            .take(self.options.most)
            .filter_map(|text| ServerUrl::parse(text).ok())
            .map(|url| url.discovered_by(here))
            .collect();
        self.entries.retain(|entry| {
            !entry.discovered
                || entry.url.is_same_place(here)
                || told.iter().any(|url| url.is_same_place(&entry.url))
        });
        let mut fresh: Vec<ServerUrl> = Vec::new();
        for url in told {
            let room = self.entries.len() + fresh.len() < self.options.most;
            if room && !self.urls().chain(&fresh).any(|known| known.is_same_place(&url)) {
                fresh.push(url);
            }
        }
        if !self.options.keep_order {
            fastrand::shuffle(&mut fresh);
        }
        let told = fresh.iter().map(ToString::to_string).collect();
        self.entries.extend(fresh.into_iter().map(|url| Entry::new(url, true)));
        // Its place may have changed.
        let current = self.urls().position(|url| url == here);
        self.current = current.unwrap_or(0);
        told
    }
}

impl Entry {
    fn new(url: ServerUrl, discovered: bool) -> Self {
        Self { url, discovered, failures: 0, refusal: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(urls: &[&str], change: impl FnOnce(&mut PoolOptions)) -> Pool {
        let mut options = PoolOptions { keep_order: true, ..PoolOptions::default() };
        change(&mut options);
        Pool::new(urls.iter().map(|url| ServerUrl::parse(url).unwrap()).collect(), options)
    }

    fn hosts(pool: &Pool) -> Vec<String> {
        pool.urls().map(|url| url.host.clone()).collect()
    }

    fn next(pool: &mut Pool) -> String {
        pool.next().unwrap().host.clone()
    }

    /// The server that was tried last is connected to.
    fn ready(pool: &mut Pool) {
        let here = pool.entries[pool.current].url.clone();
        pool.on_ready(&here);
    }

    /// The server that was tried last tells of `hosts`.
    fn tells(pool: &mut Pool, hosts: &[&str]) -> Vec<String> {
        let here = pool.entries[pool.current].url.clone();
        pool.discover(&here, &told(hosts))
    }

    fn told(hosts: &[&str]) -> Vec<String> {
        hosts.iter().map(|host| format!("{host}:4222")).collect()
    }

    #[test]
    fn servers_are_tried_in_turn_and_only_a_round_waits() {
        let mut pool = pool(&["a", "b"], |_| ());
        for (host, rounds, waits) in
            [("a", 0, true), ("b", 0, false), ("a", 1, true), ("b", 1, false)]
        {
            assert_eq!(next(&mut pool), host);
            assert_eq!(pool.on_failure(None), Verdict::Next { rounds, waits });
        }
        assert!(pool.have_all_failed());
        assert_eq!(next(&mut pool), "a");
        ready(&mut pool);
        pool.on_steady_end();
        assert_eq!(pool.on_loss(None), Verdict::Next { rounds: 0, waits: true });
        assert_eq!(next(&mut pool), "b", "not the one that was just lost");
    }

    #[test]
    fn a_server_that_fails_too_often_is_left_out() {
        let mut pool = pool(&["a", "b"], |options| options.max_attempts = Some(2));
        for _ in 0..3 {
            pool.next();
            assert_ne!(pool.on_failure(None), Verdict::GiveUp);
        }
        assert_eq!(hosts(&pool), ["b"]);
        assert_eq!(next(&mut pool), "b");
        assert_eq!(pool.on_failure(None), Verdict::GiveUp);
        assert!(pool.next().is_none());
    }

    #[test]
    fn the_same_refusal_of_one_server_twice_is_the_end() {
        let refusal = || Some(ServerError::AuthorizationViolation);
        let mut one = pool(&["a", "b"], |_| ());
        for _ in 0..2 {
            one.next();
            assert_ne!(
                one.on_failure(refusal()),
                Verdict::GiveUp,
                "another server may say something else"
            );
        }
        one.next();
        assert_ne!(one.on_failure(Some(ServerError::AuthenticationExpired)), Verdict::GiveUp);
        one.next();
        assert_eq!(one.on_failure(refusal()), Verdict::GiveUp);
        let mut other = pool(&["a"], |options| options.keep_trying_after_refusal = true);
        for _ in 0..5 {
            other.next();
            assert_ne!(other.on_failure(refusal()), Verdict::GiveUp);
        }
    }

    #[test]
    fn discovered_servers_come_and_go_with_what_is_told() {
        let mut pool = pool(&["a", "b"], |_| ());
        next(&mut pool);
        ready(&mut pool);
        assert_eq!(tells(&mut pool, &["a", "c", "d"]), ["nats://c:4222", "nats://d:4222"]);
        assert_eq!(hosts(&pool), ["a", "b", "c", "d"]);
        assert_eq!(tells(&mut pool, &["d", "e"]), ["nats://e:4222"]);
        assert_eq!(hosts(&pool), ["a", "b", "d", "e"], "those the user gave stay");
        assert!(tells(&mut pool, &[]).is_empty());
        assert_eq!(hosts(&pool).len(), 4, "a server alone tells of none");
        assert_eq!(next(&mut pool), "b");
        assert_eq!(next(&mut pool), "d");
        ready(&mut pool);
        assert!(tells(&mut pool, &["x"]).contains(&"nats://x:4222".into()));
        assert_eq!(hosts(&pool), ["a", "b", "d", "x"], "the one we are connected to stays");
    }

    #[test]
    fn a_server_that_tells_of_very_many_is_believed_so_far() {
        let mut pool = pool(&["a"], |options| options.most = 10);
        next(&mut pool);
        let many: Vec<_> =
            (0..40_000).map(|n| format!("10.0.{}.{}:4222", n / 256, n % 256)).collect();
        let here = pool.entries[0].url.clone();
        pool.discover(&here, &many);
        assert_eq!(hosts(&pool).len(), 10);
        pool.discover(&here, &["not a url".into(), "http://x".into(), String::new()]);
        assert_eq!(hosts(&pool), ["a"]);
    }

    #[test]
    fn no_list_of_servers_keeps_us_from_waiting() {
        let mut pool = pool(&["a"], |_| ());
        let hosts: Vec<_> = (0..10).map(|n| format!("h{n}:4222")).collect();
        let waits = (0..1000usize).filter(|&n| {
            next(&mut pool);
            ready(&mut pool);
            // As many as do not divide the number of failures.
            let len = (2..10).find(|len| !n.is_multiple_of(*len)).unwrap_or(10);
            let here = pool.entries[pool.current].url.clone();
            pool.discover(&here, &hosts[..len - 1]);
            matches!(pool.on_failure(None), Verdict::Next { waits: true, .. })
        });
        let waits = waits.count();
        assert!(waits >= 100, "{waits} of 1000, with 10 servers at most");
    }

    #[test]
    fn what_discovered_servers_inherit() {
        for (given, verified) in [("name.example", "name.example"), ("10.0.0.1", "10.0.0.1")] {
            let mut pool = pool(&[&format!("tls://user:secret@{given}")], |_| ());
            next(&mut pool);
            tells(&mut pool, &["10.0.0.2", "other.example"]);
            for host in ["10.0.0.2", "other.example"] {
                let url = pool.next().unwrap();
                assert_eq!((url.host.as_str(), url.tls), (host, true));
                assert_eq!(url.tls_host(), verified, "what the user gave is to be verified");
                assert!(
                    matches!(&url.auth, jetlane_proto::Auth::UserPassword { user, .. } if user == "user")
                );
            }
        }
    }

    #[test]
    fn what_is_told_is_for_the_server_that_tells_it() {
        let mut pool = pool(&["wrong@a", "right@a"], |_| ());
        next(&mut pool);
        let here = pool.next().cloned().unwrap();
        pool.discover(&here, &told(&["b"]));
        let inherited = pool.next().unwrap();
        assert_eq!((inherited.host.as_str(), &inherited.auth), ("b", &here.auth));
        // Those that the user has replaced can not send us, and our new credentials, where they like.
        pool.replace(vec![ServerUrl::parse("new@c").unwrap()]);
        assert!(pool.discover(&here, &told(&["d"])).is_empty());
        assert_eq!(hosts(&pool), ["c"]);
    }

    #[test]
    fn users_may_choose() {
        let mut pool = pool(&["a", "b", "c"], |options| {
            options.choose =
                Some(std::sync::Arc::new(|urls| urls.iter().position(|url| url.host == "c")));
        });
        assert_eq!(next(&mut pool), "c");
        assert_eq!(next(&mut pool), "c");
    }
}
