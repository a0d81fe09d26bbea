//! Who we say we are: made anew for every connection, as files change, tokens expire and nonces differ.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jetlane_proto::Auth;
use nkeys::KeyPair;

/// What a callback of the user's may fail with.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why there are no credentials to connect with. Never shows what they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file can not be read.
    #[error("the credentials file {} can not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What should be a `.creds` file has no user JWT in it, or no seed.
    #[error("the credentials have no {missing}: a .creds file has a user JWT and an NKey seed")]
    Incomplete {
        /// What is missing.
        missing: &'static str,
    },
    /// What should be an NKey seed is none.
    #[error("the NKey seed is not valid: it begins with \"SU\" and has 58 characters")]
    Seed,
    /// A key is to sign the server's nonce, and the server sent none: it has no users with keys.
    #[error("the server sent no nonce to sign: it is not set up for NKey or JWT users")]
    NoNonce,
    /// A callback failed.
    #[error("the callback for credentials failed: {0}")]
    Callback(#[source] BoxError),
}

/// Makes an [`Auth`], given the server's nonce.
type Make = dyn Fn(Option<&[u8]>) -> Result<Auth, CredentialsError> + Send + Sync;

/// Where the [`Auth`] of a connection comes from. Shows nothing of it.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    /// `None` leaves it to the URL.
    make: Option<Arc<Make>>,
}

impl Credentials {
    fn new(
        make: impl Fn(Option<&[u8]>) -> Result<Auth, CredentialsError> + Send + Sync + 'static,
    ) -> Self {
        Self { make: Some(Arc::new(make)) }
    }

    /// The same at any time.
    pub(crate) fn fixed(auth: Auth) -> Self {
        Self::new(move |_| Ok(auth.clone()))
    }

    /// A key pair that signs for itself.
    pub(crate) fn nkey(seed: &str) -> Self {
        let seed = seed.to_string();
        Self::new(move |nonce| {
            let keys = key_pair(&seed)?;
            let signature = sign(&keys, nonce.ok_or(CredentialsError::NoNonce)?)?;
            Ok(Auth::NKey { public: keys.public_key(), signature })
        })
    }

    /// A `.creds` file, read anew for each connection.
    pub(crate) fn file(path: &Path) -> Self {
        let path = path.to_path_buf();
        Self::new(move |nonce| {
            let text = fs::read_to_string(&path)
                .map_err(|source| CredentialsError::Read { path: path.clone(), source })?;
            from_text(&text, nonce)
        })
    }

    /// What stands in a `.creds` file.
    pub(crate) fn text(text: &str) -> Self {
        let text = text.to_string();
        Self::new(move |nonce| from_text(&text, nonce))
    }

    /// Whatever a callback says.
    pub(crate) fn callback(
        callback: impl Fn(Option<&[u8]>) -> Result<Auth, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |nonce| callback(nonce).map_err(CredentialsError::Callback))
    }

    /// For one connection, to a server whose URL says `url`.
    pub(crate) fn auth(&self, url: &Auth, nonce: Option<&str>) -> Result<Auth, CredentialsError> {
        match &self.make {
            Some(make) => make(nonce.map(str::as_bytes)),
            None => Ok(url.clone()),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.make.is_some() { "Credentials(…)" } else { "None" })
    }
}

fn from_text(text: &str, nonce: Option<&[u8]>) -> Result<Auth, CredentialsError> {
    let part =
        |name: &str, missing| section(text, name).ok_or(CredentialsError::Incomplete { missing });
    let (jwt, seed) = (part("USER JWT", "user JWT")?, part("USER NKEY SEED", "NKey seed")?);
    let keys = key_pair(seed)?;
    // A bearer token is taken without a signature, by servers that send no nonce.
    let signature = nonce.map(|nonce| sign(&keys, nonce)).transpose()?;
    Ok(Auth::Jwt { jwt: jwt.into(), signature })
}

/// The line between `-----BEGIN [NATS ]<name>-----` and the next line of dashes.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| {
        line.starts_with("---")
            && line.contains("BEGIN")
            && line.trim_end_matches('-').ends_with(name)
    })?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
}

fn key_pair(seed: &str) -> Result<KeyPair, CredentialsError> {
    KeyPair::from_seed(seed.trim()).map_err(|_| CredentialsError::Seed)
}

fn sign(keys: &KeyPair, nonce: &[u8]) -> Result<Vec<u8>, CredentialsError> {
    keys.sign(nonce).map_err(|_| CredentialsError::Seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n\n\
             ************* IMPORTANT *************\nNKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn a_creds_file_signs_the_nonce() {
        let keys = KeyPair::new_user();
        let text = creds(&keys.seed().unwrap());
        let auth = Credentials::text(&text).auth(&Auth::None, Some("nonce")).unwrap();
        let Auth::Jwt { jwt, signature } = auth else { panic!("{auth:?}") };
        assert_eq!(jwt, "eyJ0.eyJq.c2ln");
        keys.verify(b"nonce", &signature.unwrap()).unwrap();
        let windows = text.replace('\n', "\r\n");
        assert!(Credentials::text(&windows).auth(&Auth::None, Some("nonce")).is_ok());
        let unsigned = Credentials::text(&text).auth(&Auth::None, None).unwrap();
        assert_eq!(unsigned, Auth::Jwt { jwt: "eyJ0.eyJq.c2ln".into(), signature: None });
    }

    #[test]
    fn what_is_wrong_is_said_and_not_shown() {
        let seed = KeyPair::new_user().seed().unwrap();
        let broken = format!("{}x", &seed[..57]);
        let missing = |missing| CredentialsError::Incomplete { missing }.to_string();
        for (credentials, nonce, expected) in [
            (Credentials::text(""), Some("n"), missing("user JWT")),
            (Credentials::text(creds("").trim_end()), Some("n"), missing("NKey seed")),
            (Credentials::text(&creds(&broken)), Some("n"), CredentialsError::Seed.to_string()),
            (Credentials::nkey(&broken), Some("n"), CredentialsError::Seed.to_string()),
            (Credentials::nkey(&seed), None, CredentialsError::NoNonce.to_string()),
        ] {
            let error = credentials.auth(&Auth::None, nonce).unwrap_err();
            assert_eq!(error.to_string(), expected);
            let shown = format!("{error:?} {credentials:?}");
            assert!(!shown.contains(&seed[2..]) && !shown.contains("eyJ"), "{shown}");
        }
        let error =
            Credentials::file(Path::new("no/such.creds")).auth(&Auth::None, None).unwrap_err();
        assert!(error.to_string().contains("no/such.creds"), "{error}");
    }
}
