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
        newer(&mut self.reasoning, later.reasoning);
        newer(&mut self.total, later.total);
        if let (Some(prompt), Some(completion)) = (self.prompt, self.completion) {
            self.total = Some(self.total.unwrap_or(0).max(prompt + completion));
        }
    }

    /// Whether the provider told anything.
    pub fn is_known(&self) -> bool {
        self.prompt.is_some() || self.completion.is_some() || self.total.is_some()
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
