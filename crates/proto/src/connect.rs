use std::fmt;

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
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::UserPassword { .. } => "UserPassword { … }",
        })
    }
}

/// What a client says in CONNECT: these fields and no others.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// A name for this connection, shown by the server's monitoring.
    pub name: Option<String>,
    /// Who the client is.
    pub auth: Auth,
}

/// The fields on the wire. `verbose`, `pedantic` and `echo` default to true in the server, so they are always sent.
#[derive(Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
}

impl Connect {
    /// The JSON of the CONNECT line.
    pub fn to_json(&self) -> String {
        let (auth_token, user, pass) = match &self.auth {
            Auth::None => (None, None, None),
            Auth::Token(token) => (Some(token.as_str()), None, None),
            Auth::UserPassword { user, password } => {
                (None, Some(user.as_str()), Some(password.as_str()))
            }
        };
        let wire = Wire {
            verbose: false,
            pedantic: false,
            echo: true,
            tls_required: false,
            lang: "rust-jetlane",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            name: self.name.as_deref(),
            auth_token,
            user,
            pass,
        };
        serde_json::to_string(&wire)
            .unwrap_or_else(|_| unreachable!("strings and booleans always serialise"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_carries_these_fields_and_no_others() {
        let auth = Auth::UserPassword { user: "u\"".into(), password: "p".into() };
        let connect = Connect { name: Some("n".into()), auth };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            connect.to_json(),
            format!(
                r#"{{"verbose":false,"pedantic":false,"echo":true,"tls_required":false,"lang":"rust-jetlane","version":"{version}","protocol":1,"headers":true,"no_responders":true,"name":"n","user":"u\"","pass":"p"}}"#
            )
        );
        let token = Connect { name: None, auth: Auth::Token("t".into()) };
        assert!(token.to_json().ends_with(r#""no_responders":true,"auth_token":"t"}"#));
    }

    #[test]
    fn debug_shows_no_secret() {
        for auth in [
            Auth::Token("hunter2".into()),
            Auth::UserPassword { user: "hunter2".into(), password: "hunter2".into() },
        ] {
            let shown = format!("{:?}", Connect { name: None, auth });
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
