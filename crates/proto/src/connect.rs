use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

/// How a client says who it is. Never shown by Debug.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// A token.
    Token(String),
    /// A user and a password.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A public key, and the server's nonce signed with its private key.
    NKey {
        /// The public key, as "U…".
        public: String,
        /// The signature.
        signature: Vec<u8>,
    },
    /// A user JWT, and the server's nonce signed with the private key it is for. Bearer tokens need no signature.
    Jwt {
        /// The JWT.
        jwt: String,
        /// The signature, if the server sent a nonce.
        signature: Option<Vec<u8>>,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::UserPassword { .. } => "UserPassword { … }",
            Self::NKey { .. } => "NKey { … }",
            Self::Jwt { .. } => "Jwt { … }",
        })
    }
}

/// What a client says in CONNECT: these fields and no others.
#[derive(Clone, Debug)]
pub struct Connect {
    /// A name for this connection, shown by the server's monitoring.
    pub name: Option<String>,
    /// Who the client is.
    pub auth: Auth,
    /// Whether the server is to send what this connection publishes to its own subscriptions, too. Default true.
    pub echo: bool,
    /// Whether the server is to check the subjects of publishes (which this client does itself). Default false.
    pub pedantic: bool,
    /// Whether the server is to answer every frame with +OK. Default false.
    pub verbose: bool,
    /// Whether the connection has TLS.
    pub tls: bool,
}

impl Default for Connect {
    fn default() -> Self {
        let (name, auth) = (None, Auth::None);
        Self { name, auth, echo: true, pedantic: false, verbose: false, tls: false }
    }
}

/// The fields on the wire. `verbose`, `pedantic` and `echo` default to true in the server, so they are always sent.
#[derive(Default, Serialize)]
struct Wire<'a> {
    verbose: bool,
    pedantic: bool,
    echo: bool,
    tls_required: bool,
    lang: &'static str,
    version: &'static str,
    protocol: u8,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    auth: WireAuth<'a>,
}

#[derive(Default, Serialize)]
struct WireAuth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

impl Auth {
    fn on_the_wire(&self) -> WireAuth<'_> {
        let nothing = WireAuth::default();
        match self {
            Self::None => nothing,
            Self::Token(token) => WireAuth { auth_token: Some(token), ..nothing },
            Self::UserPassword { user, password } => {
                WireAuth { user: Some(user), pass: Some(password), ..nothing }
            }
            Self::NKey { public, signature } => {
                WireAuth { nkey: Some(public), sig: Some(base64url(signature)), ..nothing }
            }
            Self::Jwt { jwt, signature } => {
                WireAuth { jwt: Some(jwt), sig: signature.as_deref().map(base64url), ..nothing }
            }
        }
    }
}

/// Signatures travel in the alphabet for URLs, without padding.
fn base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Connect {
    /// The JSON of the CONNECT line.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            verbose: self.verbose,
            pedantic: self.pedantic,
            echo: self.echo,
            tls_required: self.tls,
            lang: "rust-jetlane",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            name: self.name.as_deref(),
            auth: self.auth.on_the_wire(),
        };
        serde_json::to_string(&wire)
            .unwrap_or_else(|_| unreachable!("strings and booleans always serialise"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"verbose":false,"pedantic":false,"echo":true,"tls_required":false,"lang":"rust-jetlane","version":""#;

    #[test]
    fn connect_carries_these_fields_and_no_others() {
        let version = env!("CARGO_PKG_VERSION");
        let middle = r#"","protocol":1,"headers":true,"no_responders":true"#;
        let text = |text: &str| text.to_string();
        for (auth, expected) in [
            (Auth::None, ""),
            (Auth::Token(text("t")), r#","auth_token":"t""#),
            (
                Auth::UserPassword { user: text("u\""), password: text("p") },
                r#","user":"u\"","pass":"p""#,
            ),
            (
                Auth::NKey { public: text("UA"), signature: vec![0xfb, 0xff] },
                r#","nkey":"UA","sig":"-_8""#,
            ),
            (
                Auth::Jwt { jwt: text("e.y"), signature: Some(vec![1, 2, 3]) },
                r#","jwt":"e.y","sig":"AQID""#,
            ),
            (Auth::Jwt { jwt: text("e.y"), signature: None }, r#","jwt":"e.y""#),
        ] {
            let connect = Connect { name: Some(text("n")), auth, ..Connect::default() };
            let expected = format!("{START}{version}{middle},\"name\":\"n\"{expected}}}");
            assert_eq!(connect.to_json(), expected);
        }
        let other =
            Connect { echo: false, pedantic: true, verbose: true, tls: true, ..Connect::default() };
        let start = r#"{"verbose":true,"pedantic":true,"echo":false,"tls_required":true,"#;
        assert!(other.to_json().starts_with(start), "{}", other.to_json());
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = || "hunter2".to_string();
        for auth in [
            Auth::Token(secret()),
            Auth::UserPassword { user: secret(), password: secret() },
            Auth::NKey { public: secret(), signature: b"hunter2".to_vec() },
            Auth::Jwt { jwt: secret(), signature: None },
        ] {
            let connect = Connect { auth, ..Connect::default() };
            assert!(!format!("{connect:?}").contains("hunter2"), "{connect:?}");
        }
    }
}
