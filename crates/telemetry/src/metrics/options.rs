use std::time::Duration;

/// What the settings say of metrics (`plugin_attr.prometheus`). Empty lists of buckets stand for the defaults.
#[derive(Clone, Debug, Default)]
pub struct MetricsOptions {
    /// What every name begins with; `apisix_` where none is set.
    pub prefix: Option<String>,
    /// Upper bounds in ms for `http_latency`.
    pub http_latency: Vec<f64>,
    /// Upper bounds in ms for `llm_latency`.
    pub llm_latency: Vec<f64>,
    /// Upper bounds for `llm_prompt_tokens_dist`.
    pub prompt_tokens: Vec<f64>,
    /// Upper bounds for `llm_completion_tokens_dist`.
    pub completion_tokens: Vec<f64>,
    /// By family, without prefix.
    pub metrics: Vec<(String, MetricOptions)>,
    /// The path at which a route with `public-api` serves the text; none where a listener of its own does.
    pub public_path: Option<String>,
}

/// What the settings say of one family.
#[derive(Clone, Debug, Default)]
pub struct MetricOptions {
    /// A series that nothing was added to for so long is forgotten; zero keeps it.
    pub expire: Duration,
    /// Labels behind the built-in ones, each with its variable, `$` in front.
    pub extra_labels: Vec<(String, String)>,
}

impl MetricsOptions {
    /// The names of the families that have labels.
    pub fn families() -> impl Iterator<Item = &'static str> {
        super::SPECS.iter().map(|spec| spec.name)
    }

    /// What is said of a family.
    pub(super) fn of(&self, family: &str) -> Option<&MetricOptions> {
        self.metrics.iter().find(|(name, _)| name == family).map(|(_, options)| options)
    }
}
