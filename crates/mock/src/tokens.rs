//! The token count of the mock.

/// Counts tokens by a rule anyone can do by hand: each run of letters and digits is one token, each other
/// character that is not white space is one token. `You said: "Hi!"` is You, said, :, ", Hi, !, " = 7.
pub(crate) fn count(text: &str) -> u64 {
    let mut tokens = 0;
    let mut in_word = false;
    for letter in text.chars() {
        let word = letter.is_alphanumeric();
        if (word && !in_word) || (!word && !letter.is_whitespace()) {
            tokens += 1;
        }
        in_word = word;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn words_and_marks_are_counted() {
        for (text, tokens) in [
            ("", 0),
            ("  \n ", 0),
            ("Hello", 1),
            ("You said: \"Hi!\"", 7),
            ("gpt-4o mini", 4),
            ("naïve façade", 2),
            ("a…b", 3),
            ("...", 3),
        ] {
            assert_eq!(count(text), tokens, "{text:?}");
        }
    }
}
