use crate::Protocol;

/// A provider, as data: a new one is a new row.
#[derive(Debug)]
pub struct Provider {
    /// The name in configuration.
    pub name: &'static str,
    /// The default host, reached by https; none where the configuration has to name an endpoint.
    pub host: Option<&'static str>,
    /// The protocols it speaks, and the path of each.
    pub paths: &'static [(Protocol, &'static str)],
    /// Whether the model is named by the URL, so that the body must not.
    pub drops_model: bool,
    /// Where `override.llm_options.max_tokens` goes.
    pub max_tokens: MaxTokens,
}

/// The member of an OpenAI chat request that limits the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokens {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`, beside whatever the client wrote.
    MaxCompletionTokens,
    /// `max_completion_tokens`, and `max_tokens` is taken out: the provider refuses both together.
    MaxCompletionTokensAlone,
}

/// Every provider that a6 serves.
pub const PROVIDERS: &[Provider] = &[
    Provider {
        name: "openai",
        host: Some("api.openai.com"),
        paths: &[(Protocol::OpenaiChat, "/v1/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxCompletionTokensAlone,
    },
    Provider {
        name: "openai-compatible",
        host: None,
        paths: &[(Protocol::OpenaiChat, "/v1/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxTokens,
    },
    Provider {
        name: "azure-openai",
        host: None,
        paths: &[(Protocol::OpenaiChat, "/completions")],
        drops_model: true,
        max_tokens: MaxTokens::MaxTokens,
    },
    Provider {
        name: "deepseek",
        host: Some("api.deepseek.com"),
        paths: &[(Protocol::OpenaiChat, "/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxTokens,
    },
    Provider {
        name: "aimlapi",
        host: Some("api.aimlapi.com"),
        paths: &[(Protocol::OpenaiChat, "/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxTokens,
    },
    Provider {
        name: "openrouter",
        host: Some("openrouter.ai"),
        paths: &[(Protocol::OpenaiChat, "/api/v1/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxTokens,
    },
    Provider {
        name: "gemini",
        host: Some("generativelanguage.googleapis.com"),
        paths: &[(Protocol::OpenaiChat, "/v1beta/openai/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxCompletionTokens,
    },
    Provider {
        name: "anthropic",
        host: Some("api.anthropic.com"),
        paths: &[(Protocol::OpenaiChat, "/v1/chat/completions")],
        drops_model: false,
        max_tokens: MaxTokens::MaxTokens,
    },
];

impl Provider {
    /// The provider of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The path at which it speaks a protocol.
    pub fn path(&self, protocol: Protocol) -> Option<&'static str> {
        self.paths.iter().find(|(spoken, _)| *spoken == protocol).map(|(_, path)| *path)
    }
}
