//! JSON as the tree that YAML becomes, so that both are read on in one way.

use a6_codec::yaml::{Node, Problem, json_problem, mask, parse_json};
use a6_resources::StrictValue;

/// Reads a document; references to variables are masked in its texts.
pub(super) fn tree(text: &str) -> Result<Node, Problem> {
    // Names what is wrong, a repeated key too.
    serde_json::from_str::<StrictValue>(text).map_err(|error| json_problem(&error))?;
    parse_json(text, &|text| mask(&text))
}
