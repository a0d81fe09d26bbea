//! Claims as text that is signed with an nkey.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// The JWT of `claims`, to which the issuer, the time and an id are added.
pub(super) fn signed(mut claims: Value, issuer: &KeyPair) -> io::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    claims["iat"] = now.as_secs().into();
    claims["iss"] = issuer.public_key().into();
    // The id is a hash of all the rest.
    claims["jti"] = BASE32_NOPAD.encode(&Sha256::digest(claims.to_string())).into();
    let encoded = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let text = format!("{}.{}", encoded(HEADER), encoded(&claims.to_string()));
    let signature = issuer.sign(text.as_bytes()).map_err(io::Error::other)?;
    Ok(format!("{text}.{}", BASE64URL_NOPAD.encode(&signature)))
}
