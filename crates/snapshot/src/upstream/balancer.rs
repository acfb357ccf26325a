use a6_resources::Template;
use a6_resources::expr::Variable;
use http::HeaderName;

/// How one of several is chosen.
#[derive(Clone, Debug)]
pub enum Balancer {
    /// In turns, each by its weight.
    RoundRobin,
    /// By a hash of something of the request, so that the same goes to the same.
    ConsistentHash(HashOn),
    /// Who has the fewest open requests for its weight.
    LeastConnections,
    /// Who has lately been the faster of two.
    Ewma,
    /// A name that nobody knows. APISIX accepts it, and fails once there are several to choose from.
    Unknown(Box<str>),
}

/// What of a request is hashed. Where it is absent or empty, the client's address is.
#[derive(Clone, Debug)]
pub enum HashOn {
    /// A variable's value.
    Variable(Variable),
    /// A header.
    Header(HeaderName),
    /// A cookie of this name.
    Cookie(String),
    /// The consumer's name.
    Consumer,
    /// A text with variables.
    Combination(Template),
}

impl Balancer {
    /// Reads the members `type`, `hash_on` and `key` of an upstream; of the latter two only if it hashes.
    ///
    /// # Errors
    /// `chash` has nothing to hash; the text names the member.
    pub fn parse(name: Option<&str>, hash_on: Option<&str>, key: Option<&str>) -> Result<Self, String> {
        match name.unwrap_or("roundrobin") {
            "roundrobin" => Ok(Self::RoundRobin),
            "chash" => HashOn::parse(hash_on, key).map(Self::ConsistentHash),
            "least_conn" => Ok(Self::LeastConnections),
            "ewma" => Ok(Self::Ewma),
            other => Ok(Self::Unknown(other.into())),
        }
    }
}

impl HashOn {
    fn parse(hash_on: Option<&str>, key: Option<&str>) -> Result<Self, String> {
        let hash_on = hash_on.unwrap_or("vars");
        if hash_on == "consumer" {
            return Ok(Self::Consumer);
        }
        let key = key.ok_or_else(|| format!("key: it is missing, and chash on {hash_on} needs it"))?;
        match hash_on {
            "vars" => Variable::parse(key).map(Self::Variable).map_err(|why| format!("key: {why}")),
            "header" => match HeaderName::from_bytes(key.as_bytes()) {
                Ok(name) => Ok(Self::Header(name)),
                Err(_) => Err(format!("key: {key:?} is not the name of a header")),
            },
            "cookie" => Ok(Self::Cookie(key.to_owned())),
            "vars_combinations" => Ok(Self::Combination(Template::parse(key))),
            other => Err(format!(
                "hash_on: {other:?} is unknown; use vars, header, cookie, consumer or vars_combinations"
            )),
        }
    }
}
