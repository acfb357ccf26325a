//! Text as a tree.

/// A line and those below it.
pub(super) struct Node {
    text: String,
    below: Vec<Node>,
}

impl Node {
    /// A line alone.
    pub(super) fn leaf(text: impl Into<String>) -> Self {
        Node { text: text.into(), below: Vec::new() }
    }

    /// A line with others below it.
    pub(super) fn with(text: impl Into<String>, below: Vec<Node>) -> Self {
        Node { text: text.into(), below }
    }

    /// The whole tree, a line each.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "", "");
        out
    }

    fn write(&self, out: &mut String, first: &str, others: &str) {
        out.push_str(first);
        // Escapes in a name would change the terminal.
        out.extend(self.text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        out.push('\n');
        for (place, node) in self.below.iter().enumerate() {
            let is_last = place + 1 == self.below.len();
            let (branch, rest) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            node.write(out, &format!("{others}{branch}"), &format!("{others}{rest}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_lead_to_their_lines() {
        let tree = Node::with(
            "a",
            vec![
                Node::with("b", vec![Node::leaf("c\u{1b}[1m"), Node::leaf("d")]),
                Node::with("e", vec![Node::leaf("f")]),
            ],
        );
        let expected = "a\n├── b\n│   ├── c [1m\n│   └── d\n└── e\n    └── f\n";
        assert_eq!(tree.render(), expected);
    }
}
