use std::fmt;
use std::net::IpAddr;

use jetlane_proto::Auth;

/// Where a server is: `nats://[user:password@|token@]host[:port]`, or `tls://…` if nothing may be sent without TLS. Without a port it is
/// 4222; `nats://` may be left out. Debug and Display show no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) auth: Auth,
    pub(crate) tls: bool,
    /// The name that the user gave, if a server told of this one by its address.
    tls_host: Option<String>,
}

/// Why a text is not the URL of a server. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// A scheme that this client does not speak.
    #[error("the scheme {scheme:?} is not supported: use nats:// or tls://")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// No host.
    #[error("the URL names no host: use nats://host:port")]
    NoHost,
    /// A port that is no number from 1 to 65535.
    #[error("the port {port:?} is no number from 1 to 65535")]
    Port {
        /// What stands in its place.
        port: String,
    },
    /// Something that can not be part of a host name.
    #[error("the host {host:?} is not valid; an IPv6 address needs brackets")]
    Host {
        /// What stands in its place.
        host: String,
    },
    /// Credentials with a broken `%` escape.
    #[error("the credentials in the URL have a broken % escape")]
    Escape,
}

impl ServerUrl {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("nats", rest)) => (false, rest),
            Some(("tls", rest)) => (true, rest),
            Some((scheme, _)) => return Err(UrlError::Scheme { scheme: scheme.into() }),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A password may hold an `@`, a host may not.
        let (auth, address) = match rest.rsplit_once('@') {
            None => (Auth::None, rest),
            Some((credentials, address)) => (read_auth(credentials)?, address),
        };
        let (host, port) = split_port(address)?;
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        let port = match port {
            None => 4222,
            Some(digits) => match digits.parse() {
                Ok(port @ 1..) => port,
                _ => return Err(UrlError::Port { port: digits.into() }),
            },
        };
        Ok(Self { host: host.into(), port, auth, tls, tls_host: None })
    }

    /// Reads a list with commas between.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with the first that is.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, (String, UrlError)> {
        let shown =
            |url: &str| url.rsplit_once('@').map_or(url, |(_, address)| address).to_string();
        text.split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(|url| Self::parse(url).map_err(|error| (shown(url), error)))
            .collect()
    }

    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server's certificate must be for, unless the user says otherwise.
    pub(crate) fn tls_host(&self) -> &str {
        self.tls_host.as_deref().unwrap_or(&self.host)
    }

    /// The same host and port.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// As told by the server at `here`: what the user demanded of that one holds for this one.
    pub(crate) fn discovered_by(mut self, here: &Self) -> Self {
        self.auth = here.auth.clone();
        self.tls = here.tls;
        // Servers tell of each other by address, and certificates are for names.
        let is_address = |host: &str| host.parse::<IpAddr>().is_ok();
        if is_address(&self.host) && !is_address(here.tls_host()) {
            self.tls_host = Some(here.tls_host().into());
        }
        self
    }
}

/// Host and port, of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(address: &str) -> Result<(&str, Option<&str>), UrlError> {
    let bad = || UrlError::Host { host: address.into() };
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(bad()),
        };
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let several_colons = port.is_some_and(|port| port.contains(':'));
    if several_colons || !host.chars().all(allowed) {
        return Err(bad());
    }
    Ok((host, port))
}

fn read_auth(credentials: &str) -> Result<Auth, UrlError> {
    Ok(match credentials.split_once(':') {
        Some((user, password)) => {
            Auth::UserPassword { user: unescape(user)?, password: unescape(password)? }
        }
        None => Auth::Token(unescape(credentials)?),
    })
}

/// Resolves `%40` and the like.
fn unescape(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
        let byte =
            digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(byte.ok_or(UrlError::Escape)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Escape)
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        let scheme = if self.tls { "tls" } else { "nats" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let user = |user: &str, password: &str| Auth::UserPassword {
            user: user.into(),
            password: password.into(),
        };
        let host = |host: &str| Err(UrlError::Host { host: host.into() });
        let port = |port: &str| Err(UrlError::Port { port: port.into() });
        for (text, expected) in [
            ("nats://127.0.0.1:4222", Ok(("127.0.0.1", 4222, Auth::None))),
            ("nats://example.com", Ok(("example.com", 4222, Auth::None))),
            ("localhost:5", Ok(("localhost", 5, Auth::None))),
            ("nats://localhost:5/", Ok(("localhost", 5, Auth::None))),
            ("nats://[::1]:5", Ok(("::1", 5, Auth::None))),
            ("nats://[::1]", Ok(("::1", 4222, Auth::None))),
            ("nats://u:p@h:5", Ok(("h", 5, user("u", "p")))),
            ("nats://u:p@ss%40%3a@h", Ok(("h", 4222, user("u", "p@ss@:")))),
            ("nats://t0ken@h", Ok(("h", 4222, Auth::Token("t0ken".into())))),
            ("http://h", Err(UrlError::Scheme { scheme: "http".into() })),
            ("ws://h", Err(UrlError::Scheme { scheme: "ws".into() })),
            ("tls://h", Ok(("h", 4222, Auth::None))),
            ("nats://", Err(UrlError::NoHost)),
            ("", Err(UrlError::NoHost)),
            ("nats://:4222", Err(UrlError::NoHost)),
            ("nats://h:", port("")),
            ("nats://h:0", port("0")),
            ("nats://h:65536", port("65536")),
            ("nats://h:4222x", port("4222x")),
            ("nats://::1", host("::1")),
            ("nats://a b", host("a b")),
            ("nats://[::1", host("[::1")),
            ("nats://[x]:1", host("[x]:1")),
            ("nats://[::1]x", host("[::1]x")),
            ("nats://a/b", host("a/b")),
            ("nats://u%4:p@h", Err(UrlError::Escape)),
            ("nats://u%+4:p@h", Err(UrlError::Escape)),
            ("nats://u%ff:p@h", Err(UrlError::Escape)),
        ] {
            let url = ServerUrl::parse(text);
            let seen = url.as_ref().map(|url| (url.host.as_str(), url.port, url.auth.clone()));
            assert_eq!(seen, expected.as_ref().map(|e| (e.0, e.1, e.2.clone())), "{text}");
        }
    }

    #[test]
    fn lists() {
        let hosts = |text| {
            ServerUrl::parse_list(text)
                .map(|urls| urls.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(hosts("a, tls://b:1,,").unwrap(), ["nats://a:4222", "tls://b:1"]);
        assert_eq!(hosts("").unwrap(), [""; 0]);
        assert_eq!(hosts("a,u:secret@b:x").unwrap_err().0, "b:x");
    }

    #[test]
    fn nothing_shows_the_credentials() {
        let url = ServerUrl::parse("nats://u:hunter2@h").unwrap();
        assert_eq!(format!("{url} {url:?}"), "nats://h:4222 nats://h:4222");
    }
}
