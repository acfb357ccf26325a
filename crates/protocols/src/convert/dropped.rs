/// No more names than this: they are sent in a header.
const MOST: usize = 32;
/// A name is no longer than this.
const LONGEST: usize = 64;

/// The members that a conversion cannot carry, each named once, such as `top_k` or `messages.cache_control`.
#[derive(Debug, Default)]
pub(super) struct Dropped(pub(super) Vec<String>);

impl Dropped {
    /// Names a member. What a client chose freely is made fit for a header.
    pub(super) fn name(&mut self, name: &str) {
        let fit = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = name.chars().take(LONGEST).map(fit).collect();
        if self.0.len() < MOST && !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Names a member of a member.
    pub(super) fn inner(&mut self, outer: &str, name: &str) {
        self.name(&format!("{outer}.{name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_a_header_and_bounded() {
        let mut dropped = Dropped::default();
        dropped.name("a\r\nb: c");
        dropped.inner("messages", "é");
        dropped.name("a__b__c");
        dropped.name(&"x".repeat(999));
        assert_eq!(dropped.0, ["a__b__c".to_string(), "messages._".to_string(), "x".repeat(64)]);
        (0..99).for_each(|number| dropped.name(&number.to_string()));
        assert_eq!(dropped.0.len(), MOST);
    }
}
