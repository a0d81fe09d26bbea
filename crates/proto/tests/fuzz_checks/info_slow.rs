//! INFO read by way of [`Value`]: field by field, as its documentation says.

use jetlane_proto::ServerInfo;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// What the slow reader says of some JSON.
pub(crate) enum Verdict {
    /// It is this INFO.
    Info(Box<ServerInfo>),
    /// It is none.
    Refused,
    /// [`Value`] can not hold it, and a reader that passes over unknown fields need not care.
    CanNotTell,
}

/// Reads the JSON of an INFO line.
pub(crate) fn read(json: &[u8]) -> Verdict {
    match serde_json::from_slice::<Members>(json) {
        Ok(members) => match info(&members.0) {
            Some(info) => Verdict::Info(Box::new(info)),
            None => Verdict::Refused,
        },
        Err(error) if is_about_values(&error) => Verdict::CanNotTell,
        Err(_) => Verdict::Refused,
    }
}

/// Whether the JSON has sound syntax up to a value that can be written and not be held: text that is no Unicode, a
/// number beyond all range, or nesting that would cost too much stack.
fn is_about_values(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    [
        "invalid unicode code point",
        "lone leading surrogate",
        "unexpected end of hex escape",
        "number out of range",
        "recursion limit exceeded",
    ]
    .iter()
    .any(|reason| text.starts_with(reason))
}

/// The members of an object in order, with those of the same name, which [`Value`] would make one of.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The INFO of these members; none if one that is known has the wrong type or comes twice.
fn info(members: &[(String, Value)]) -> Option<ServerInfo> {
    let mut info = ServerInfo::default();
    for (name, value) in members {
        let known = put(&mut info, name, value)?;
        if known && members.iter().filter(|(other, _)| other == name).count() > 1 {
            return None;
        }
    }
    Some(info)
}

/// Puts a value where it belongs. True if it belongs somewhere, none if it can not be put there.
fn put(info: &mut ServerInfo, name: &str, value: &Value) -> Option<bool> {
    match name {
        "server_id" => info.server_id = text(value)?,
        "server_name" => info.server_name = text(value)?,
        "version" => info.version = text(value)?,
        "proto" => info.proto = small(value)?,
        "headers" => info.headers = value.as_bool()?,
        "auth_required" => info.auth_required = value.as_bool()?,
        "tls_required" => info.tls_required = value.as_bool()?,
        "tls_available" => info.tls_available = value.as_bool()?,
        "max_payload" => info.max_payload = value.as_u64()?,
        "jetstream" => info.jetstream = value.as_bool()?,
        "client_id" => info.client_id = value.as_u64()?,
        "client_ip" => info.client_ip = text(value)?,
        "nonce" => info.nonce = text_or_null(value)?,
        "cluster" => info.cluster = text_or_null(value)?,
        "domain" => info.domain = text_or_null(value)?,
        "connect_urls" => {
            info.connect_urls = value.as_array()?.iter().map(text).collect::<Option<_>>()?;
        }
        "ldm" => info.lame_duck = value.as_bool()?,
        "connect_info" => info.connect_info = value.as_bool()?,
        "remote_account" => info.account = text_or_null(value)?,
        "acc_is_sys" => info.is_system_account = value.as_bool()?,
        "api_lvl" => info.api_level = small(value)?,
        _ => return Some(false),
    }
    Some(true)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(Into::into)
}

fn text_or_null(value: &Value) -> Option<Option<String>> {
    if value.is_null() { Some(None) } else { text(value).map(Some) }
}

fn small(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}
