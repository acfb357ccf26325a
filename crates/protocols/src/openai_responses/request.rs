use crate::wire::Asked;

/// A body with `input` at a path that ends in `/v1/responses`.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    asked.path.ends_with("/v1/responses") && asked.has("input")
}
