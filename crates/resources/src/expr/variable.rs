use serde_json_path::JsonPath;

/// How deep brackets and parentheses of a path may stand in each other.
const MAX_NESTING: usize = 8;

/// A variable of a request, its name taken apart when the expression is compiled.
#[derive(Clone, Debug)]
pub enum Variable {
    /// `arg_«name»`: the first query value of that name.
    Arg(String),
    /// `http_«name»`: a header, lower-case and with `-`.
    Header(String),
    /// `cookie_«name»`.
    Cookie(String),
    /// `post_arg_«name»`: a field of an urlencoded form.
    Form(String),
    /// `post_arg.«path»`: a member of the body.
    Body(BodyPath),
    /// Any other, such as `remote_addr` or `request_method`.
    Named(String),
}

/// Where in the body.
#[derive(Clone, Debug)]
pub enum BodyPath {
    /// Members of nested objects.
    Members(Vec<String>),
    /// A JSONPath; its value is the list of results, absent if there are none.
    Query(Box<JsonPath>),
}

impl Variable {
    /// Takes a variable's name apart.
    ///
    /// # Errors
    /// The JSONPath of a `post_arg.` name is malformed.
    pub fn parse(name: &str) -> Result<Self, String> {
        let variable = if let Some(path) = name.strip_prefix("post_arg.") {
            Self::Body(BodyPath::parse(path)?)
        } else if let Some(field) = name.strip_prefix("post_arg_") {
            Self::Form(field.to_string())
        } else if let Some(arg) = name.strip_prefix("arg_") {
            Self::Arg(arg.to_string())
        } else if let Some(header) = name.strip_prefix("http_") {
            Self::Header(header.to_ascii_lowercase().replace('_', "-"))
        } else if let Some(cookie) = name.strip_prefix("cookie_") {
            Self::Cookie(cookie.to_string())
        } else {
            Self::Named(name.to_string())
        };
        Ok(variable)
    }

    /// Whether its value is in the request's body.
    pub fn needs_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Body(_))
    }
}

impl BodyPath {
    fn parse(path: &str) -> Result<Self, String> {
        let is_query = path.contains(['[', '*']) || path.contains("..");
        if !is_query {
            return Ok(Self::Members(path.split('.').map(str::to_string).collect()));
        }
        let malformed = |why: &dyn std::fmt::Display| format!("invalid expression \"$.{path}\": {why}");
        check_shape(path).map_err(|why| malformed(&why))?;
        JsonPath::parse(&format!("$.{path}"))
            .map(|query| Self::Query(Box::new(query)))
            .map_err(|error| malformed(&error))
    }
}

/// Refuses what the parser of paths cannot bear: it panics where the text ends inside an escape, recurses without a
/// limit, and needs twice the time for each filter inside a filter.
fn check_shape(path: &str) -> Result<(), &'static str> {
    let mut nesting = 0usize;
    let mut quote = None;
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[' | '(') => nesting += 1,
            (None, ']' | ')') => nesting = nesting.saturating_sub(1),
            (None, _) => {}
        }
        if nesting > MAX_NESTING {
            return Err("nested deeper than 8 levels");
        }
    }
    if quote.is_some() { Err("a string does not end") } else { Ok(()) }
}
