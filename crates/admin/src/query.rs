/// Query parameters, decoded; of a repeated one the first counts.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`; nothing is an error.
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        Self(form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The parameter's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The parameter's value where it is a finite number.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn reads_text_and_numbers() {
        let query = Query::parse(Some("name=a%5Bb+c&page=2&size=10.5&bad=1x&inf=inf&empty=&page=3"));
        assert_eq!(query.get("name"), Some("a[b c"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("none"), None);
        assert_eq!([query.number("page"), query.number("size")], [Some(2.0), Some(10.5)]);
        assert_eq!([query.number("bad"), query.number("inf"), query.number("none")], [None; 3]);
        assert_eq!(Query::parse(None).get("name"), None);
    }
}
