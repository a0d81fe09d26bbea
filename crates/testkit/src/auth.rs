//! Who may connect, by keys and JWTs that are made at test time.

mod jwt;

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// The key of a user (`U...`), with which it signs what the server asks it to.
#[derive(Debug, Clone)]
pub struct Nkey {
    pair: KeyPair,
    seed: String,
}

impl Nkey {
    /// A new key that nobody else has.
    ///
    /// # Errors
    ///
    /// When the key cannot be written down, which does not happen to new keys.
    pub fn new() -> io::Result<Nkey> {
        let pair = KeyPair::new_user();
        let seed = pair.seed().map_err(io::Error::other)?;
        Ok(Nkey { pair, seed })
    }

    /// The public key, which names the user.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.pair.public_key()
    }

    /// The private key as its owner keeps it (`SU...`).
    #[must_use]
    pub fn seed(&self) -> &str {
        &self.seed
    }

    /// The signature of the nonce of an INFO, as CONNECT takes it in `sig`.
    ///
    /// # Errors
    ///
    /// When the key cannot sign, which does not happen to keys that were made here.
    pub fn sign(&self, nonce: &str) -> io::Result<String> {
        let signature = self.pair.sign(nonce.as_bytes()).map_err(io::Error::other)?;
        Ok(BASE64URL_NOPAD.encode(&signature))
    }

    /// The config of a server that takes these users, by their keys alone.
    #[must_use]
    pub fn server_config(users: &[&Nkey]) -> String {
        let users: Vec<_> =
            users.iter().map(|user| format!("{{ nkey: {} }}", user.public_key())).collect();
        format!("authorization {{ users: [ {} ] }}\n", users.join(", "))
    }
}

/// An operator with one account, and a system account beside it. Both accounts and all users are
/// signed by the keys it keeps.
#[derive(Debug)]
pub struct Operator {
    operator: KeyPair,
    /// The same in every config, as a reload can not change it.
    operator_jwt: String,
    account: KeyPair,
    system: KeyPair,
    config: String,
}

impl Operator {
    /// New keys all through.
    ///
    /// # Errors
    ///
    /// When a key cannot sign, which does not happen to new keys.
    pub fn new() -> io::Result<Operator> {
        let operator = KeyPair::new_operator();
        let claims = json!({ "type": "operator", "version": 2 });
        let mut made = Operator {
            operator_jwt: signed("O", &operator, &claims, &operator)?,
            operator,
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
            config: String::new(),
        };
        made.config = made.config_revoking(&json!({}))?;
        Ok(made)
    }

    /// The config of a server that does not take `user` any more. Reloaded, it ends the user's connections with
    /// `-ERR 'User Authentication Revoked'`.
    ///
    /// # Errors
    ///
    /// As [`Operator::new`].
    pub fn server_config_revoking(&self, user: &JwtUser) -> io::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        self.config_revoking(&json!({ user.nkey.public_key(): now.as_secs() }))
    }

    fn config_revoking(&self, revocations: &Value) -> io::Result<String> {
        let Operator { operator, operator_jwt, account, system, .. } = self;
        let mut claims = account_claims(&json!(-1));
        claims["revocations"] = revocations.clone();
        let account_jwt = signed("A", account, &claims, operator)?;
        // The system account has no JetStream of its own.
        let system_jwt = signed("SYS", system, &account_claims(&json!(0)), operator)?;
        let (account_key, system_key) = (account.public_key(), system.public_key());
        Ok(format!(
            "operator: \"{operator_jwt}\"\nsystem_account: {system_key}\nresolver: MEMORY\n\
             resolver_preload {{\n{account_key}: \"{account_jwt}\"\n{system_key}: \"{system_jwt}\"\n}}\n"
        ))
    }

    /// The config of a server that takes the users of this operator and no others. The account may
    /// use JetStream.
    #[must_use]
    pub fn server_config(&self) -> &str {
        &self.config
    }

    /// A user who may do everything in the account, for ever.
    ///
    /// # Errors
    ///
    /// When a key cannot sign, which does not happen to new keys.
    pub fn user(&self, name: &str) -> io::Result<JwtUser> {
        self.issue(name, None)
    }

    /// A user who is let in until `expires`, a time in whole seconds. The server ends its
    /// connections then, with `-ERR 'User Authentication Expired'`.
    ///
    /// # Errors
    ///
    /// When the time is before 1970, and as [`Operator::user`].
    pub fn user_until(&self, name: &str, expires: SystemTime) -> io::Result<JwtUser> {
        let since_epoch = expires.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        self.issue(name, Some(since_epoch.as_secs()))
    }

    fn issue(&self, name: &str, expires: Option<u64>) -> io::Result<JwtUser> {
        let nkey = Nkey::new()?;
        let nats = json!({
            "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
            "type": "user", "version": 2,
        });
        let mut claims = json!({ "name": name, "sub": nkey.public_key(), "nats": nats });
        if let Some(expires) = expires {
            claims["exp"] = expires.into();
        }
        Ok(JwtUser { jwt: jwt::signed(claims, &self.account)?, nkey })
    }
}

/// What `operator` says of the owner of `key`.
fn signed(name: &str, key: &KeyPair, nats: &Value, operator: &KeyPair) -> io::Result<String> {
    jwt::signed(json!({ "name": name, "sub": key.public_key(), "nats": nats }), operator)
}

/// No limits on anything but JetStream.
fn account_claims(jetstream: &Value) -> Value {
    json!({
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": jetstream, "disk_storage": jetstream,
            "streams": jetstream, "consumer": jetstream,
        },
        "default_permissions": { "pub": {}, "sub": {} },
        "type": "account", "version": 2,
    })
}

/// A user of an [`Operator`]'s account: a key, and a JWT that says what it may do.
#[derive(Debug, Clone)]
pub struct JwtUser {
    nkey: Nkey,
    jwt: String,
}

impl JwtUser {
    /// The user's key.
    #[must_use]
    pub fn nkey(&self) -> &Nkey {
        &self.nkey
    }

    /// What CONNECT takes in `jwt`.
    #[must_use]
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// The text of a `.creds` file: the JWT and the seed.
    #[must_use]
    pub fn creds(&self) -> String {
        let (jwt, seed) = (&self.jwt, self.nkey.seed());
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\
             NKEYs are sensitive and should be treated as secrets.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n"
        )
    }
}
