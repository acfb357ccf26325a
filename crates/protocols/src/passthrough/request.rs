use a6_codec::json::Root;

use crate::wire::Asked;

/// An object or list that is not empty.
pub(crate) fn detects(asked: &Asked<'_>) -> bool {
    match asked.document.root {
        Root::Object => !asked.document.members.is_empty(),
        Root::Array { items } => items > 0,
        Root::Scalar => false,
    }
}

/// Where a request may have no body, or one that is no JSON: sound, pictures and files, and lists of what there is.
const PLACES: [&str; 6] =
    ["/v1/audio/", "/v1/images/", "/v1/files", "/v1/uploads", "/v1/batches", "/v1/models"];

/// Whether requests to this path may pass with any body and with none.
pub fn takes_bytes(path: &str) -> bool {
    PLACES.iter().any(|place| {
        let Some((_, behind)) = path.split_once(place) else { return false };
        place.ends_with('/') || behind.is_empty() || behind.starts_with('/')
    })
}
