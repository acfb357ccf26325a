use std::time::Duration;

use a6_snapshot::{BreakerLimits, Fallback};
use serde::Deserialize;
use serde_json::Value;

use crate::support::instance::{InstanceConf, TransportConf};
use crate::support::model_log::Logging;
use crate::support::provider_schema::default_max_body;

/// A configuration.
#[derive(Deserialize)]
pub(super) struct Conf {
    pub(super) instances: Vec<MemberConf>,
    #[serde(default)]
    pub(super) balancer: BalancerConf,
    pub(super) semantic_opts: Option<SemanticConf>,
    #[serde(flatten)]
    pub(super) fallback: FallbackConf,
    #[serde(default)]
    pub(super) breaker: BreakerConf,
    #[serde(flatten)]
    pub(super) transport: TransportConf,
    #[serde(default = "default_max_body")]
    pub(super) max_req_body_size: u64,
    #[serde(default)]
    pub(super) logging: Logging,
}

/// One of `instances`.
#[derive(Deserialize)]
pub(super) struct MemberConf {
    pub(super) name: String,
    pub(super) weight: u64,
    #[serde(default)]
    pub(super) priority: i64,
    #[serde(flatten)]
    pub(super) instance: InstanceConf,
    pub(super) checks: Option<Value>,
    #[serde(default)]
    pub(super) examples: Vec<String>,
}

/// `balancer`.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct BalancerConf {
    pub(super) algorithm: Algorithm,
    pub(super) hash_on: String,
    pub(super) key: Option<String>,
}

impl Default for BalancerConf {
    fn default() -> Self {
        Self { algorithm: Algorithm::default(), hash_on: "vars".to_owned(), key: None }
    }
}

/// `balancer.algorithm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Algorithm {
    #[default]
    #[serde(rename = "roundrobin")]
    RoundRobin,
    Chash,
    LeastConn,
    Ewma,
    Semantic,
}

impl Algorithm {
    /// Its name, as it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "roundrobin",
            Self::Chash => "chash",
            Self::LeastConn => "least_conn",
            Self::Ewma => "ewma",
            Self::Semantic => "semantic",
        }
    }
}

/// `semantic_opts`.
#[derive(Deserialize)]
pub(super) struct SemanticConf {
    pub(super) embeddings: EmbeddingsConf,
    pub(super) fallback: Option<String>,
}

/// `semantic_opts.embeddings`.
#[derive(Deserialize)]
pub(super) struct EmbeddingsConf {
    pub(super) provider: String,
    pub(super) endpoint: Option<String>,
}

/// What follows a failed attempt.
#[derive(Deserialize)]
pub(super) struct FallbackConf {
    fallback_strategy: Option<Strategies>,
    #[serde(default)]
    fallback_http_statuses: Vec<u16>,
    max_retries: Option<u64>,
    retry_on_failure_within_ms: Option<u64>,
    hedge_after_ms: Option<u64>,
}

/// `fallback_strategy`, in both spellings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Strategies {
    One(Strategy),
    Several(Vec<Strategy>),
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Strategy {
    #[serde(rename = "rate_limiting", alias = "instance_health_and_rate_limiting")]
    RateLimiting,
    #[serde(rename = "http_429")]
    TooManyRequests,
    #[serde(rename = "http_5xx")]
    ServerError,
}

impl FallbackConf {
    /// The rules as they are used.
    pub(super) fn compile(&self) -> Fallback {
        let strategies: &[Strategy] = match &self.fallback_strategy {
            None => &[],
            Some(Strategies::One(one)) => std::slice::from_ref(one),
            Some(Strategies::Several(several)) => several,
        };
        Fallback {
            asks_quota: strategies.contains(&Strategy::RateLimiting),
            on_429: strategies.contains(&Strategy::TooManyRequests),
            on_5xx: strategies.contains(&Strategy::ServerError),
            statuses: self.fallback_http_statuses.as_slice().into(),
            max_retries: self.max_retries.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
            within: self.retry_on_failure_within_ms.map(Duration::from_millis),
            hedge_after: self.hedge_after_ms.map(Duration::from_millis),
        }
    }
}

/// `breaker`.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct BreakerConf {
    enabled: bool,
    failures: u32,
    within_ms: u64,
    open_ms: u64,
    max_open_ms: u64,
}

impl Default for BreakerConf {
    fn default() -> Self {
        let limits = BreakerLimits::default();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            enabled: true,
            failures: limits.failures,
            within_ms: millis(limits.within),
            open_ms: millis(limits.open),
            max_open_ms: millis(limits.longest),
        }
    }
}

impl BreakerConf {
    /// The limits; none where it is switched off.
    pub(super) fn compile(&self) -> Option<BreakerLimits> {
        self.enabled.then(|| BreakerLimits {
            failures: self.failures,
            within: Duration::from_millis(self.within_ms),
            open: Duration::from_millis(self.open_ms),
            longest: Duration::from_millis(self.max_open_ms),
        })
    }
}
