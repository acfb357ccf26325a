use super::facts::Field;

/// A family of metrics.
#[derive(Debug)]
pub(super) struct FamilySpec {
    /// Without prefix.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    /// A label whose values are all known, and which stands before the others: its name and its values.
    pub(super) leading: Option<(&'static str, &'static [&'static str])>,
    pub(super) labels: &'static [(&'static str, Field)],
}

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram(Buckets),
}

/// Which buckets a histogram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buckets {
    HttpLatency,
    LlmLatency,
    PromptTokens,
    CompletionTokens,
}

impl Kind {
    /// The word of the exposition format.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// How many families there are.
pub(super) const COUNT: usize = 11;

/// The families, in the order of [`SPECS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Outcomes,
    UsageUnknown,
    Bandwidth,
    HttpLatency,
    HttpStatus,
    ActiveConnections,
    CompletionTokens,
    CompletionDist,
    LlmLatency,
    PromptTokens,
    PromptDist,
}

/// The labels of `http_latency` and `bandwidth` behind the leading one.
const HTTP: &[(&str, Field)] = &[
    ("route", Field::Route),
    ("service", Field::Service),
    ("consumer", Field::Consumer),
    ("node", Field::Node),
    ("request_type", Field::RequestType),
    ("request_llm_model", Field::RequestModel),
    ("llm_model", Field::Model),
];

/// The labels of what is counted per answer of a model.
const LLM: &[(&str, Field)] = &[
    ("route_id", Field::Route),
    ("service_id", Field::Service),
    ("consumer", Field::Consumer),
    ("node", Field::Node),
    ("request_type", Field::RequestType),
    ("request_llm_model", Field::RequestModel),
    ("llm_model", Field::Model),
];

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [(&'static str, Field)],
) -> FamilySpec {
    FamilySpec { name, help, kind: Kind::Counter, leading: None, labels }
}

const fn histogram(
    name: &'static str,
    help: &'static str,
    labels: &'static [(&'static str, Field)],
    buckets: Buckets,
) -> FamilySpec {
    FamilySpec { name, help, kind: Kind::Histogram(buckets), leading: None, labels }
}

/// Every family, by name. Names, texts and the order of labels are APISIX's; those that begin with `a6_` are our own.
pub(super) static SPECS: [FamilySpec; COUNT] = [
    counter(
        "a6_outcomes_total",
        "How requests ended, and the first thing that went wrong",
        &[("route", Field::Route), ("outcome", Field::Outcome), ("error", Field::Fault)],
    ),
    counter(
        "a6_llm_usage_unknown_total",
        "Answers of models that did not tell what they cost",
        &[
            ("route_id", Field::Route),
            ("consumer", Field::Consumer),
            ("node", Field::Node),
            ("llm_model", Field::Model),
        ],
    ),
    FamilySpec {
        leading: Some(("type", &["egress", "ingress"])),
        ..counter("bandwidth", "Total bandwidth in bytes consumed per service in APISIX", HTTP)
    },
    FamilySpec {
        leading: Some(("type", &["apisix", "request", "upstream"])),
        ..histogram(
            "http_latency",
            "HTTP request latency in milliseconds per service in APISIX",
            HTTP,
            Buckets::HttpLatency,
        )
    },
    counter(
        "http_status",
        "HTTP status codes per service in APISIX",
        &[
            ("code", Field::Code),
            ("route", Field::Route),
            ("matched_uri", Field::MatchedUri),
            ("matched_host", Field::MatchedHost),
            ("service", Field::Service),
            ("consumer", Field::Consumer),
            ("node", Field::Node),
            ("request_type", Field::RequestType),
            ("request_llm_model", Field::RequestModel),
            ("llm_model", Field::Model),
            ("response_source", Field::Source),
        ],
    ),
    FamilySpec {
        name: "llm_active_connections",
        help: "Number of active connections to LLM service",
        kind: Kind::Gauge,
        leading: None,
        labels: &[
            ("route", Field::RouteName),
            ("route_id", Field::RouteId),
            ("matched_uri", Field::MatchedUri),
            ("matched_host", Field::MatchedHost),
            ("service", Field::ServiceName),
            ("service_id", Field::ServiceId),
            ("consumer", Field::Consumer),
            ("node", Field::Node),
            ("request_type", Field::RequestType),
            ("request_llm_model", Field::RequestModel),
            ("llm_model", Field::Model),
        ],
    },
    counter("llm_completion_tokens", "LLM service consumed completion tokens", LLM),
    histogram(
        "llm_completion_tokens_dist",
        "LLM completion tokens distribution per request",
        LLM,
        Buckets::CompletionTokens,
    ),
    FamilySpec {
        leading: Some(("type", &["total", "ttft"])),
        ..histogram("llm_latency", "LLM request latency in milliseconds", LLM, Buckets::LlmLatency)
    },
    counter("llm_prompt_tokens", "LLM service consumed prompt tokens", LLM),
    histogram(
        "llm_prompt_tokens_dist",
        "LLM prompt tokens distribution per request",
        LLM,
        Buckets::PromptTokens,
    ),
];

/// Places of the values of leading labels.
pub(super) mod variant {
    pub(in super::super) const ONLY: usize = 0;
    pub(in super::super) const EGRESS: usize = 0;
    pub(in super::super) const INGRESS: usize = 1;
    pub(in super::super) const APISIX: usize = 0;
    pub(in super::super) const REQUEST: usize = 1;
    pub(in super::super) const UPSTREAM: usize = 2;
    pub(in super::super) const TOTAL: usize = 0;
    pub(in super::super) const TTFT: usize = 1;
}
