use std::time::Duration;

use a6_core::Secret;
use a6_mock::{Mock, Options};
use anyhow::{Context, ensure};
use serde_json::{Value, json};

/// A provider that the quickstart can ask: the variable with its key, its name, and a small model of it.
struct Known {
    variable: &'static str,
    provider: &'static str,
    model: &'static str,
}

const KNOWN: [Known; 5] = [
    Known { variable: "OPENAI_API_KEY", provider: "openai", model: "gpt-4o-mini" },
    Known { variable: "ANTHROPIC_API_KEY", provider: "anthropic", model: "claude-haiku-4-5" },
    Known { variable: "DEEPSEEK_API_KEY", provider: "deepseek", model: "deepseek-chat" },
    Known { variable: "OPENROUTER_API_KEY", provider: "openrouter", model: "openai/gpt-4o-mini" },
    Known { variable: "GEMINI_API_KEY", provider: "gemini", model: "gemini-2.5-flash" },
];

/// Whom the quickstart asks.
pub(super) struct Choice {
    pub(super) provider: &'static str,
    pub(super) model: String,
    source: Source,
}

enum Source {
    Mock(Mock),
    Real { variable: &'static str, key: Secret<String> },
}

impl Choice {
    /// The provider whose key is in the environment, the first in the list above; else a mock, which is started.
    pub(super) fn make(
        env: &[(String, String)],
        force_mock: bool,
        model: Option<&str>,
    ) -> anyhow::Result<Self> {
        let key_of = |known: &'static Known| {
            let (_, key) = env.iter().find(|(name, value)| name == known.variable && !value.is_empty())?;
            Some((known, key.clone()))
        };
        if let Some((known, key)) = KNOWN.iter().find_map(key_of).filter(|_| !force_mock) {
            return Ok(Self {
                provider: known.provider,
                model: model.unwrap_or(known.model).to_string(),
                source: Source::Real { variable: known.variable, key: Secret::new(key) },
            });
        }
        let mock = Mock::start(Options::default()).context("the mock provider could not be started")?;
        let model = model.unwrap_or("mock-model").to_string();
        Ok(Self { provider: "openai-compatible", model, source: Source::Mock(mock) })
    }

    /// The configuration of `ai-proxy`.
    pub(super) fn plugin(&self) -> Value {
        self.plugin_with(|key| key.to_string())
    }

    /// The same, with the key's variable in place of the key, to be shown.
    pub(super) fn shown_plugin(&self) -> Value {
        self.plugin_with(|_| match &self.source {
            Source::Real { variable, .. } => format!("${variable}"),
            Source::Mock(_) => String::new(),
        })
    }

    fn plugin_with(&self, show: impl Fn(&str) -> String) -> Value {
        match &self.source {
            Source::Mock(mock) => json!({
                "provider": self.provider,
                "auth": {},
                "override": {"endpoint": mock.url()},
            }),
            Source::Real { key, .. } => json!({
                "provider": self.provider,
                "auth": {"header": {"Authorization": format!("Bearer {}", show(key.expose()))}},
            }),
        }
    }

    /// What is about to happen.
    pub(super) fn announcement(&self) -> String {
        match &self.source {
            Source::Mock(_) => {
                "Asking a6's own mock provider (no provider's key is used). Its answer:\n".to_string()
            }
            Source::Real { variable, .. } => format!(
                "Asking {}, model {}, with the key in {variable}: one request, at most 64 tokens. Its answer:\n",
                self.provider, self.model
            ),
        }
    }

    /// Holds the answer against what the mock says it sent; a real provider's must not be empty.
    pub(super) fn verify(&self, answer: &str) -> anyhow::Result<()> {
        ensure!(!answer.trim().is_empty(), "the answer is empty");
        if let Source::Mock(mock) = &self.source {
            let sent = mock.settled(1);
            let content = sent.last().map(|exchange| exchange.content.as_str()).unwrap_or_default();
            ensure!(answer == content, "the mock sent {content:?}, but {answer:?} came");
        }
        Ok(())
    }

    /// How long to wait for the answer.
    pub(super) const PATIENCE: Duration = Duration::from_secs(60);
}
