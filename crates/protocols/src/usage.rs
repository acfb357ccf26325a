use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The `usage` object of OpenAI's chat completions and embeddings. Providers differ in detail: what is not as expected
/// counts as not told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OpenaiUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Details,
    completion_tokens_details: Details,
    /// DeepSeek's word for what was read from its cache.
    prompt_cache_hit_tokens: Count,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Detail {
    CachedTokens,
    CacheCreationInputTokens,
    ReasoningTokens,
    #[serde(other)]
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) cached: Option<u64>,
    pub(crate) created: Option<u64>,
    pub(crate) reasoning: Option<u64>,
}

/// A whole number, or anything else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|found| Self(found.number))
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|found| found.details)
    }
}

#[derive(Default)]
struct Found {
    number: Option<u64>,
    details: Details,
}

struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Found;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found, E> {
        Ok(Found { number: Some(number), ..Found::default() })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Found, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(detail) = members.next_key()? {
            match detail {
                Detail::CachedTokens => found.details.cached = members.next_value::<Count>()?.0,
                Detail::CacheCreationInputTokens => found.details.created = members.next_value::<Count>()?.0,
                Detail::ReasoningTokens => found.details.reasoning = members.next_value::<Count>()?.0,
                Detail::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// The tokens that an answer cost, as the provider counted them. A count that was never told is `None`: unknown is not
/// zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: Option<u64>,
    /// Tokens of the completion.
    pub completion: Option<u64>,
    /// Both.
    pub total: Option<u64>,
    /// Of the prompt's, those read from a cache.
    pub cache_read: Option<u64>,
    /// Tokens that were written to a cache.
    pub cache_creation: Option<u64>,
    /// Of the completion's, those spent on reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Takes over what a later report tells; a zero never overwrites a count that was told before.
    pub fn merge(&mut self, later: Usage) {
        let newer = |before: &mut Option<u64>, later: Option<u64>| match (*before, later) {
            (Some(_), Some(0)) | (_, None) => {}
            _ => *before = later,
        };
        newer(&mut self.prompt, later.prompt);
        newer(&mut self.completion, later.completion);
        newer(&mut self.cache_read, later.cache_read);
        newer(&mut self.cache_creation, later.cache_creation);
        newer(&mut self.reasoning, later.reasoning);
        newer(&mut self.total, later.total);
        if let (Some(prompt), Some(completion)) = (self.prompt, self.completion) {
            self.total = Some(self.total.unwrap_or(0).max(prompt.saturating_add(completion)));
        }
    }

    /// The same with a total, where both parts are known.
    #[must_use]
    pub(crate) fn summed(self) -> Self {
        let mut usage = Self::default();
        usage.merge(self);
        usage
    }

    /// Whether the provider told anything.
    pub fn is_known(&self) -> bool {
        self.prompt.is_some() || self.completion.is_some() || self.total.is_some()
    }
}

impl From<OpenaiUsage> for Usage {
    fn from(told: OpenaiUsage) -> Self {
        Self {
            prompt: told.prompt_tokens.0,
            completion: told.completion_tokens.0,
            total: told.total_tokens.0,
            cache_read: told.prompt_tokens_details.cached.or(told.prompt_cache_hit_tokens.0),
            cache_creation: told.prompt_tokens_details.created,
            reasoning: told.completion_tokens_details.reasoning,
        }
        .summed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_reports_win_but_zero_never_erases() {
        let mut usage = Usage { prompt: Some(5), ..Usage::default() };
        usage.merge(Usage { prompt: Some(0), completion: Some(3), ..Usage::default() });
        assert_eq!((usage.prompt, usage.completion, usage.total), (Some(5), Some(3), Some(8)));
        usage.merge(Usage { completion: Some(4), total: Some(20), ..Usage::default() });
        assert_eq!((usage.completion, usage.total), (Some(4), Some(20)));
        assert!(!Usage::default().is_known());
    }
}
