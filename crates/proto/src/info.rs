use serde::Deserialize;

/// What a server says of itself, in INFO lines: the first one of a connection, and any that follow.
///
/// Unknown fields are ignored and absent ones have their default, as servers of other versions send other fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The server's unique id.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// Its version, as "2.15.1".
    pub version: String,
    /// Protocol level; 1 means that INFO may come at any time.
    pub proto: u32,
    /// Whether it carries headers.
    pub headers: bool,
    /// Whether it wants credentials. May be absent in the first INFO and true in the second.
    pub auth_required: bool,
    /// Whether it wants TLS.
    pub tls_required: bool,
    /// Whether it offers TLS.
    pub tls_available: bool,
    /// Largest message it takes, headers included, in bytes. May change with a later INFO.
    pub max_payload: u64,
    /// Whether JetStream is on.
    pub jetstream: bool,
    /// This connection's number on that server.
    pub client_id: u64,
    /// This connection's address as the server sees it.
    pub client_ip: String,
    /// To be signed by clients with a key.
    pub nonce: Option<String>,
    /// The cluster it belongs to.
    pub cluster: Option<String>,
    /// The JetStream domain it belongs to.
    pub domain: Option<String>,
    /// Other servers of the cluster that take clients.
    pub connect_urls: Vec<String>,
    /// "Lame duck": it is about to stop, and clients should go elsewhere.
    #[serde(rename = "ldm")]
    pub lame_duck: bool,
    /// Whether this is the second INFO of a connection, which tells what holds for this user (nats-server 2.12+).
    pub connect_info: bool,
    /// The account that the user belongs to, in the second INFO (nats-server 2.12+).
    #[serde(rename = "remote_account")]
    pub account: Option<String>,
    /// Whether that is the system account.
    #[serde(rename = "acc_is_sys")]
    pub is_system_account: bool,
    /// JetStream API level; 5 in nats-server 2.15.1.
    #[serde(rename = "api_lvl")]
    pub api_level: u32,
}

/// An INFO that could not be read. The server's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent an INFO that can not be read: {reason}")]
pub struct InfoError {
    /// What the JSON reader said.
    pub reason: String,
}

impl ServerInfo {
    /// Reads the JSON of an INFO line.
    ///
    /// # Errors
    /// [`InfoError`] if it is no JSON object, nests too deep, or has a known field of another type.
    pub fn read(json: &[u8]) -> Result<Self, InfoError> {
        // The JSON reader would take an array for an object whose fields are all absent.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(InfoError { reason: "it is no JSON object".into() });
        }
        serde_json::from_slice(json).map_err(|error| InfoError { reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_server_sends() {
        let info = ServerInfo::read(
            br#"{"server_id":"NA","version":"2.15.1","proto":1,"go":"go1.26","headers":true,"max_payload":1048576,
                "jetstream":true,"client_id":5,"connect_urls":["127.0.0.1:4222"],"ldm":true,"api_lvl":5,"new":{}} "#,
        )
        .unwrap();
        assert_eq!((info.max_payload, info.api_level, info.lame_duck), (1_048_576, 5, true));
        assert_eq!(info.connect_urls, ["127.0.0.1:4222"]);
        assert_eq!(ServerInfo::read(b"{}").unwrap(), ServerInfo::default());
    }

    #[test]
    fn refuses_what_no_server_should_send() {
        for json in [
            "",
            "{",
            "[]",
            "null",
            "{\"max_payload\":-1}",
            "{\"version\":2}",
            "{\"connect_urls\":[1]}",
        ] {
            assert!(ServerInfo::read(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn deep_nesting_overflows_no_stack() {
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(ServerInfo::read(format!("{{\"unknown\":{nested}}}").as_bytes()).is_ok());
        assert!(ServerInfo::read(format!("{{\"connect_urls\":{nested}}}").as_bytes()).is_err());
    }
}
