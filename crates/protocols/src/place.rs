use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in one segment of a path (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path, or a host name, with places that are filled in: `{project}` and `{region}` by the configuration, `{model}` by
/// the request, and `{-stream}`, which is there for a streamed answer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// A path names the model, and nothing says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "could not resolve upstream path: ensure the route or request body specifies a model, or that \
     override.endpoint includes a path"
)]
pub struct UnknownModel;

impl Pattern {
    /// Fills in what the configuration says. None where it lacks something.
    pub fn configured(pattern: &str, project: Option<&str>, region: Option<&str>) -> Option<Self> {
        let mut text = pattern.to_string();
        for (place, value) in [("{project}", project), ("{region}", region)] {
            if text.contains(place) {
                text = text.replace(place, value?);
            }
        }
        Some(Self(text))
    }

    /// The text, if no request changes it.
    pub fn fixed(&self) -> Option<&str> {
        (!self.0.contains('{')).then_some(&self.0)
    }

    /// The path for one request.
    ///
    /// # Errors
    /// The path names the model, and there is none.
    pub fn path(&self, model: Option<&str>, stream: bool) -> Result<String, UnknownModel> {
        let path = self.0.replace("{-stream}", if stream { "-stream" } else { "" });
        if !path.contains("{model}") {
            return Ok(path);
        }
        // A segment of dots would lead to another path.
        let model = model.filter(|model| !["", ".", ".."].contains(model)).ok_or(UnknownModel)?;
        Ok(path.replace("{model}", &utf8_percent_encode(model, SEGMENT).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_filled_in() {
        let converse = Pattern::configured("/model/{model}/converse{-stream}", None, None).unwrap();
        assert_eq!(converse.fixed(), None);
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/a.b-c_d";
        let cases = [
            (Some("anthropic.claude-v2:1"), false, Ok("/model/anthropic.claude-v2%3A1/converse")),
            (Some("m"), true, Ok("/model/m/converse-stream")),
            (
                Some(arn),
                false,
                Ok("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fa.b-c_d/converse"),
            ),
            (Some("../{-stream}?"), false, Ok("/model/..%2F%7B-stream%7D%3F/converse")),
            (Some(""), false, Err(UnknownModel)),
            (Some(".."), false, Err(UnknownModel)),
            (None, true, Err(UnknownModel)),
        ];
        for (model, stream, expected) in cases {
            assert_eq!(converse.path(model, stream).as_deref(), expected.as_ref().copied(), "{model:?}");
        }
    }

    #[test]
    fn what_the_configuration_lacks_leaves_no_path() {
        let pattern = "/p/{project}/l/{region}";
        let path = Pattern::configured(pattern, Some("a"), Some("b")).unwrap();
        assert_eq!(path.fixed(), Some("/p/a/l/b"));
        assert_eq!(Pattern::configured(pattern, Some("a"), None), None);
        assert_eq!(Pattern::configured(pattern, None, Some("b")), None);
        assert_eq!(Pattern::configured("/x", None, None).unwrap().fixed(), Some("/x"));
    }
}
