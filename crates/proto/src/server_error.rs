use std::fmt;

/// Longest text of an `-ERR` that is kept as it is, in bytes.
const MAX_TEXT: usize = 512;

/// What a server said in `-ERR` (the texts of nats-server 2.15.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerError {
    /// Wrong or missing credentials. The server closes.
    AuthorizationViolation,
    /// No CONNECT in time. The server closes.
    AuthenticationTimeout,
    /// The user's credentials have expired. The server closes.
    AuthenticationExpired,
    /// The user was revoked. The server closes.
    AuthenticationRevoked,
    /// The account's credentials have expired. The server closes.
    AccountAuthenticationExpired,
    /// The server or the account has as many connections as it may. The server closes.
    MaxConnections,
    /// The connection or the account has as many subscriptions as it may; the last one was not made.
    MaxSubscriptions,
    /// Publishing to this subject (or with this reply subject) is not permitted; the message was dropped.
    PublishPermission {
        /// The subject.
        subject: String,
    },
    /// Subscribing to this subject is not permitted; the subscription is dead.
    SubscribePermission {
        /// The subject.
        subject: String,
        /// The queue group, if one was asked for.
        queue: Option<String>,
    },
    /// A message was larger than the server takes now. The server closes.
    MaxPayload,
    /// We did not answer the server's PINGs. The server closes.
    StaleConnection,
    /// The server wants TLS. The server closes.
    TlsRequired,
    /// The server could not read what we sent. The server closes.
    ProtocolViolation {
        /// What the server said.
        text: String,
    },
    /// Anything else.
    Other {
        /// What the server said, cut to 512 bytes.
        text: String,
    },
}

impl ServerError {
    /// Reads the text of an `-ERR` line, without its quotes.
    pub fn read(text: &[u8]) -> Self {
        // A subject is needed as a whole, and may be as long as a line.
        if let Some(error) = Self::read_permission(&String::from_utf8_lossy(text)) {
            return error;
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(MAX_TEXT)]).into_owned();
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "authorization violation" => Self::AuthorizationViolation,
            "authentication timeout" => Self::AuthenticationTimeout,
            "user authentication expired" => Self::AuthenticationExpired,
            "user authentication revoked" => Self::AuthenticationRevoked,
            "account authentication expired" => Self::AccountAuthenticationExpired,
            "maximum connections exceeded" | "maximum account active connections exceeded" => {
                Self::MaxConnections
            }
            "maximum subscriptions exceeded" => Self::MaxSubscriptions,
            "maximum payload violation" => Self::MaxPayload,
            "stale connection" => Self::StaleConnection,
            "secure connection - tls required" => Self::TlsRequired,
            "unknown protocol operation"
            | "maximum control line exceeded"
            | "invalid client protocol"
            | "no responders requires headers support"
            | "parser error" => Self::ProtocolViolation { text },
            _ => Self::Other { text },
        }
    }

    /// True if the server closes the connection after this.
    pub fn closes(&self) -> bool {
        !matches!(
            self,
            Self::MaxSubscriptions
                | Self::PublishPermission { .. }
                | Self::SubscribePermission { .. }
                | Self::Other { .. }
        )
    }

    /// True if somebody is to learn that what he asked for is not permitted.
    pub fn denies(&self) -> bool {
        matches!(self, Self::PublishPermission { .. } | Self::SubscribePermission { .. })
    }

    /// True if no reconnecting will help as long as the credentials stay what they are.
    pub fn is_auth(&self) -> bool {
        matches!(
            self,
            Self::AuthorizationViolation
                | Self::AuthenticationExpired
                | Self::AuthenticationRevoked
                | Self::AccountAuthenticationExpired
        )
    }

    /// The text goes on behind the subject in several ways, so only its beginning is matched.
    fn read_permission(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("Permissions Violation for ")?;
        if let Some(rest) =
            rest.strip_prefix("Publish to ").or_else(|| rest.strip_prefix("Publish with Reply of "))
        {
            return Some(Self::PublishPermission { subject: unquote(rest)?.0 });
        }
        let (subject, rest) = unquote(rest.strip_prefix("Subscription to ")?)?;
        let queue = rest.strip_prefix(" using queue ").and_then(unquote).map(|(queue, _)| queue);
        Some(Self::SubscribePermission { subject, queue })
    }
}

/// A text in quotes at the beginning of `quoted`, which the server wrote as Go's `%q` does; and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut chars = quoted.strip_prefix('"')?.chars();
    let mut text = String::new();
    loop {
        let next = match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => match chars.next()? {
                'x' => read_hex(&mut chars, 2)?,
                'u' => read_hex(&mut chars, 4)?,
                'U' => read_hex(&mut chars, 8)?,
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                itself => itself,
            },
            itself => itself,
        };
        text.push(next);
    }
}

/// The character with the number that the next `digits` hexadecimal digits are.
fn read_hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let number: String = chars.by_ref().take(digits).collect();
    char::from_u32(u32::from_str_radix(&number, 16).ok()?)
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthorizationViolation => {
                f.write_str("the server refused the credentials (authorization violation)")
            }
            Self::AuthenticationTimeout => f.write_str("the server saw no credentials in time"),
            Self::AuthenticationExpired => f.write_str("the user's credentials have expired"),
            Self::AuthenticationRevoked => f.write_str("the user's credentials were revoked"),
            Self::AccountAuthenticationExpired => {
                f.write_str("the account's credentials have expired")
            }
            Self::MaxConnections => f.write_str("the server takes no more connections"),
            Self::MaxSubscriptions => f.write_str("the server takes no more subscriptions"),
            Self::PublishPermission { subject } => {
                write!(f, "publishing to {subject:?} is not permitted")
            }
            Self::SubscribePermission { subject, queue: None } => {
                write!(f, "subscribing to {subject:?} is not permitted")
            }
            Self::SubscribePermission { subject, queue: Some(queue) } => {
                write!(f, "subscribing to {subject:?} in queue group {queue:?} is not permitted")
            }
            Self::MaxPayload => f.write_str("a message was larger than the server takes"),
            Self::StaleConnection => f.write_str("the server missed our PONGs (stale connection)"),
            Self::TlsRequired => f.write_str("the server requires TLS"),
            Self::ProtocolViolation { text } => {
                write!(f, "the server could not read what we sent: {text}")
            }
            Self::Other { text } => write!(f, "the server reported: {text}"),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::ServerError::{self, *};

    #[test]
    fn texts_of_the_server() {
        let publish = |subject: &str| PublishPermission { subject: subject.into() };
        let subscribe = |subject: &str, queue: Option<&str>| SubscribePermission {
            subject: subject.into(),
            queue: queue.map(Into::into),
        };
        for (text, expected, closes) in [
            ("Authorization Violation", AuthorizationViolation, true),
            ("Authentication Timeout", AuthenticationTimeout, true),
            ("User Authentication Expired", AuthenticationExpired, true),
            ("User Authentication Revoked", AuthenticationRevoked, true),
            ("Account Authentication Expired", AccountAuthenticationExpired, true),
            ("maximum connections exceeded", MaxConnections, true),
            ("maximum account active connections exceeded", MaxConnections, true),
            ("maximum subscriptions exceeded", MaxSubscriptions, false),
            ("Maximum Payload Violation", MaxPayload, true),
            ("Stale Connection", StaleConnection, true),
            ("Permissions Violation for Publish to \"a.b\"", publish("a.b"), false),
            ("Permissions Violation for Publish with Reply of \"r\"", publish("r"), false),
            ("Permissions Violation for Subscription to \"a.>\"", subscribe("a.>", None), false),
            (
                "Permissions Violation for Subscription to \"a\" using queue \"q\"",
                subscribe("a", Some("q")),
                false,
            ),
            (
                "Permissions Violation for Subscription to \"a\" (sid \"5\")",
                subscribe("a", None),
                false,
            ),
            (
                "Permissions Violation for Subscription to \"a\" using queue \"q\" (sid \"5\")",
                subscribe("a", Some("q")),
                false,
            ),
            (
                r#"Permissions Violation for Publish to "a\"b\\\u00ad\x7f\tü""#,
                publish("a\"b\\\u{ad}\u{7f}\tü"),
                false,
            ),
            (
                r#"Permissions Violation for Subscription to "a\"" using queue "\"q\\""#,
                subscribe("a\"", Some("\"q\\")),
                false,
            ),
            (
                "Permissions Violation for Subscription to \"a",
                Other { text: "Permissions Violation for Subscription to \"a".into() },
                false,
            ),
            (
                "Unknown Protocol Operation",
                ProtocolViolation { text: "Unknown Protocol Operation".into() },
                true,
            ),
            ("Invalid Subject", Other { text: "Invalid Subject".into() }, false),
            ("", Other { text: String::new() }, false),
        ] {
            let error = ServerError::read(text.as_bytes());
            assert_eq!(error, expected, "{text}");
            assert_eq!(error.closes(), closes, "{text}");
        }
    }

    #[test]
    fn long_and_strange_texts_are_kept_short() {
        let Other { text } = ServerError::read(&[0xff; 100_000]) else { panic!() };
        assert!(text.len() <= 3 * 512);
        for strange in [r"\", r"\x", r"\xg0", r"\u00", r"\U00110000"] {
            let text = format!("Permissions Violation for Publish to \"{strange}");
            assert_eq!(ServerError::read(text.as_bytes()), Other { text });
        }
    }

    #[test]
    fn a_long_subject_is_kept_as_a_whole() {
        let subject = "x".repeat(4000);
        let text = format!("Permissions Violation for Publish to \"{subject}\"");
        assert_eq!(ServerError::read(text.as_bytes()), PublishPermission { subject });
    }
}
