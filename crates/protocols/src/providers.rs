use crate::Protocol;

/// A provider, as data: a new one is a new row.
#[derive(Debug)]
pub struct Provider {
    /// The name in configuration.
    pub name: &'static str,
    /// The default host, reached by https; none where the configuration has to name an endpoint. See [`crate::Pattern`].
    pub host: Option<&'static str>,
    /// The protocols it speaks, and the path of each. See [`crate::Pattern`].
    pub paths: &'static [(Protocol, &'static str)],
    /// Whether the model is named by the URL, so that the body must not.
    pub drops_model: bool,
    /// Where `override.llm_options.max_tokens` goes, per protocol; nowhere for the others.
    pub max_tokens: &'static [(Protocol, MaxTokens)],
    /// How a request shows who is asking, beside what the configuration writes into headers and query.
    pub signing: Signing,
}

/// How a request to a provider shows who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// By the configured headers and query alone.
    Configured,
    /// By a token that Google gives for the service account of `auth.gcp`, where that is configured.
    Google,
    /// By a signature for this service of AWS, with the key of `auth.aws`, which has to be there.
    Aws(&'static str),
}

/// The member of a request that limits the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokens {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`, beside whatever the client wrote.
    MaxCompletionTokens,
    /// `max_completion_tokens`, and `max_tokens` is taken out: the provider refuses both together.
    MaxCompletionTokensAlone,
    /// `max_output_tokens`.
    MaxOutputTokens,
    /// `maxTokens` in `inferenceConfig`.
    InferenceConfig,
}

const OPENAI_PATHS: &[(Protocol, &str)] = &[
    (Protocol::OpenaiChat, "/v1/chat/completions"),
    (Protocol::OpenaiResponses, "/v1/responses"),
    (Protocol::OpenaiEmbeddings, "/v1/embeddings"),
];
const MAX_TOKENS: &[(Protocol, MaxTokens)] = &[(Protocol::OpenaiChat, MaxTokens::MaxTokens)];
const MAX_COMPLETION_TOKENS: &[(Protocol, MaxTokens)] =
    &[(Protocol::OpenaiChat, MaxTokens::MaxCompletionTokens)];

/// A provider of the usual kind: a host, a path for chat completions, keys in headers.
const fn usual(
    name: &'static str,
    host: &'static str,
    paths: &'static [(Protocol, &'static str)],
) -> Provider {
    Provider {
        name,
        host: Some(host),
        paths,
        drops_model: false,
        max_tokens: MAX_TOKENS,
        signing: Signing::Configured,
    }
}

/// Every provider that a6 serves.
pub const PROVIDERS: &[Provider] = &[
    Provider {
        max_tokens: &[
            (Protocol::OpenaiChat, MaxTokens::MaxCompletionTokensAlone),
            (Protocol::OpenaiResponses, MaxTokens::MaxOutputTokens),
        ],
        ..usual("openai", "api.openai.com", OPENAI_PATHS)
    },
    Provider {
        host: None,
        max_tokens: &[
            (Protocol::OpenaiChat, MaxTokens::MaxTokens),
            (Protocol::OpenaiResponses, MaxTokens::MaxOutputTokens),
        ],
        ..usual("openai-compatible", "", OPENAI_PATHS)
    },
    Provider {
        host: None,
        drops_model: true,
        ..usual("azure-openai", "", &[(Protocol::OpenaiChat, "/completions")])
    },
    usual("deepseek", "api.deepseek.com", &[(Protocol::OpenaiChat, "/chat/completions")]),
    usual("aimlapi", "api.aimlapi.com", &[(Protocol::OpenaiChat, "/chat/completions")]),
    usual("openrouter", "openrouter.ai", &[(Protocol::OpenaiChat, "/api/v1/chat/completions")]),
    Provider {
        max_tokens: MAX_COMPLETION_TOKENS,
        ..usual(
            "gemini",
            "generativelanguage.googleapis.com",
            &[(Protocol::OpenaiChat, "/v1beta/openai/chat/completions")],
        )
    },
    Provider {
        max_tokens: &[
            (Protocol::OpenaiChat, MaxTokens::MaxTokens),
            (Protocol::AnthropicMessages, MaxTokens::MaxTokens),
        ],
        ..usual(
            "anthropic",
            "api.anthropic.com",
            &[(Protocol::OpenaiChat, "/v1/chat/completions"), (Protocol::AnthropicMessages, "/v1/messages")],
        )
    },
    Provider {
        max_tokens: MAX_COMPLETION_TOKENS,
        signing: Signing::Google,
        ..usual(
            "vertex-ai",
            "{region}-aiplatform.googleapis.com",
            &[
                (
                    Protocol::OpenaiChat,
                    "/v1beta1/projects/{project}/locations/{region}/endpoints/openapi/chat/completions",
                ),
                (
                    Protocol::VertexPredict,
                    "/v1/projects/{project}/locations/{region}/publishers/google/models/{model}:predict",
                ),
            ],
        )
    },
    Provider {
        drops_model: true,
        max_tokens: &[(Protocol::BedrockConverse, MaxTokens::InferenceConfig)],
        signing: Signing::Aws("bedrock"),
        ..usual(
            "bedrock",
            "bedrock-runtime.{region}.amazonaws.com",
            &[(Protocol::BedrockConverse, "/model/{model}/converse{-stream}")],
        )
    },
];

impl Provider {
    /// The provider of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The names of the protocols that it speaks, for a person.
    pub fn speaks(&self) -> String {
        let mut names: Vec<_> = self.paths.iter().map(|(protocol, _)| protocol.name()).collect();
        names.sort_unstable();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_goes_only_where_the_provider_speaks() {
        for provider in PROVIDERS {
            for (protocol, _) in provider.max_tokens {
                assert!(
                    provider.paths.iter().any(|(spoken, _)| spoken == protocol),
                    "{} {protocol:?}",
                    provider.name
                );
            }
        }
    }
}
