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

/// Where requests keep their path whatever is in their body: sound, pictures, files, lists of what there is, and what is
/// asked about messages without having them answered.
const PLACES: [&str; 9] = [
    "/v1/audio/",
    "/v1/images/",
    "/v1/files",
    "/v1/uploads",
    "/v1/batches",
    "/v1/models",
    "/v1/moderations",
    "/v1/messages/count_tokens",
    "/v1/messages/batches",
];

/// Whether requests to this path may have any body, and none: they pass as they are.
pub fn takes_bytes(path: &str) -> bool {
    PLACES.iter().any(|place| {
        let Some((_, behind)) = path.split_once(place) else { return false };
        place.ends_with('/') || behind.is_empty() || behind.starts_with('/')
    })
}
