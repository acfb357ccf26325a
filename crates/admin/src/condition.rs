use a6_resources::Kind;
use http::{HeaderMap, StatusCode, header};

use crate::answer::{Answer, label};
use crate::view::State;

/// What a write's `If-Match` asks for, so that nobody overwrites what they have not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// `*`: that there is something.
    Exists,
    /// That what is there has this `modifiedIndex`.
    Modified(u64),
}

impl Expected {
    /// Reads the header; none if it is absent.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Answer> {
        let mut values = headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        match (text, number.parse::<u64>(), values.next()) {
            ("*", _, None) => Ok(Some(Self::Exists)),
            (_, Ok(modified), None) => Ok(Some(Self::Modified(modified))),
            _ => Err(Answer::refused(
                "header If-Match: expected one number, the modifiedIndex of the resource, or *",
            )),
        }
    }

    /// Whether the resource is as expected; if not, 412.
    pub(crate) fn check(self, kind: Kind, id: &str, state: &State) -> Result<(), Answer> {
        let found = state.get(kind, id).map(|entry| entry.modified);
        let text = match (self, found) {
            (Self::Exists, Some(_)) => return Ok(()),
            (Self::Modified(wanted), Some(found)) if wanted == found => return Ok(()),
            (Self::Modified(wanted), Some(found)) => {
                format!(
                    "it has modifiedIndex {found} by now, not {wanted}; read it again and repeat the change"
                )
            }
            (_, None) => "it does not exist".to_string(),
        };
        let text = format!("header If-Match: {}: {text}", label(kind, id));
        Err(Answer::error(StatusCode::PRECONDITION_FAILED, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn one_number_or_a_star() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for &value in values {
                headers.append(header::IF_MATCH, HeaderValue::from_static(value));
            }
            Expected::of(&headers).map_err(|answer| answer.status.as_u16())
        };
        let cases: [(&[&str], _); 8] = [
            (&[], Ok(None)),
            (&["7"], Ok(Some(Expected::Modified(7)))),
            (&["\"7\""], Ok(Some(Expected::Modified(7)))),
            (&[" * "], Ok(Some(Expected::Exists))),
            (&["7, 8"], Err(400)),
            (&["7", "7"], Err(400)),
            (&["W/\"7\""], Err(400)),
            (&[""], Err(400)),
        ];
        for (values, expected) in cases {
            assert_eq!(read(values), expected, "{values:?}");
        }
    }
}
