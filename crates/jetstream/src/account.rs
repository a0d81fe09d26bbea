use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::call::Nothing;
use crate::error::Names;
use crate::{ApiCall, JetStream, wire};

/// What an account uses of JetStream, and what it may use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct AccountInfo {
    /// All of it together.
    #[serde(flatten)]
    pub total: Tier,
    /// The JetStream domain; empty without one.
    pub domain: String,
    /// The requests to the API.
    pub api: ApiStats,
    /// By number of replicas (`R1`, `R3`), if the account has limits by them.
    #[serde(deserialize_with = "wire::or_default")]
    pub tiers: BTreeMap<String, Tier>,
}

/// What is used, and what may be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Tier {
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes on disk.
    pub storage: u64,
    /// How many streams.
    pub streams: u64,
    /// How many consumers.
    pub consumers: u64,
    /// What may be used.
    pub limits: AccountLimits,
}

/// What an account may use; `None` for no limit.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct AccountLimits {
    /// Bytes in memory. 0 is a limit here: none may be used.
    #[serde(deserialize_with = "wire::account_limit")]
    pub max_memory: Option<u64>,
    /// Bytes on disk. 0 is a limit here: none may be used.
    #[serde(deserialize_with = "wire::account_limit")]
    pub max_storage: Option<u64>,
    /// How many streams.
    #[serde(deserialize_with = "wire::account_limit")]
    pub max_streams: Option<u64>,
    /// How many consumers.
    #[serde(deserialize_with = "wire::account_limit")]
    pub max_consumers: Option<u64>,
    /// How many messages a consumer may have unacknowledged.
    #[serde(deserialize_with = "wire::account_limit")]
    pub max_ack_pending: Option<u64>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The requests of an account to the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ApiStats {
    /// How much of JetStream the server knows (ADR-44); 0 before 2.11.
    pub level: u64,
    /// How many there were.
    pub total: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many are being answered.
    pub inflight: u64,
}

impl JetStream {
    /// What the account of this connection uses of JetStream, and what it may use (`INFO`, ADR-1).
    pub fn account_info(&self) -> ApiCall<AccountInfo> {
        self.call("$JS.API.INFO".into(), &Nothing {}, Names::default(), &[])
    }
}
