use super::json::Text;

/// What the conversion of a reply has to know of its request.
#[derive(Clone, Debug, Default)]
pub struct Recall {
    /// Names of tools: as they went to the provider, and as the client has them.
    pub(super) names: Vec<(String, String)>,
    /// Whether the client of a stream wants its usage.
    pub(super) include_usage: bool,
    /// Whether the client wants embeddings as base64.
    pub(super) base64: bool,
}

impl Recall {
    /// The client's name of a tool.
    pub(super) fn tool_name<'t>(&'t self, name: Text<'t>) -> Text<'t> {
        let own = self.names.iter().find(|(sent, _)| sent == name.0);
        own.map_or(name, |(_, own)| Text(own))
    }
}

/// What a reply wants and its provider may not tell.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// An id, where the provider gives none.
    pub id: &'a str,
    /// The model that was asked; the provider's own word for it is used where there is none.
    pub model: Option<&'a str>,
    /// The time, in seconds since 1970.
    pub created: u64,
}
