use a6_protocols::Endpoint;
use a6_resources::schema_of_hash_key;
use serde_json::Value;

use super::conf::{Algorithm, Conf, MemberConf, SemanticConf};

/// What a schema cannot say of the instance at a place, in APISIX's words. What its provider asks is checked when it is
/// compiled.
pub(super) fn instance(instances: &[MemberConf], place: usize) -> Result<(), String> {
    let own = &instances[place];
    if let Some(earlier) = instances[..place].iter().position(|earlier| earlier.name == own.name) {
        let (name, first, second) = (&own.name, earlier + 1, place + 1);
        return Err(format!(
            "duplicate instance name '{name}' at instances[{first}] and instances[{second}]"
        ));
    }
    if own.instance.endpoint().is_some_and(|url| Endpoint::parse(url).is_err()) {
        return Err("invalid endpoint".to_owned());
    }
    match own.instance.gcp().and_then(|gcp| gcp.fault()) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// What a schema cannot say of the way to choose.
pub(super) fn balancer(conf: &Conf) -> Result<(), String> {
    match conf.balancer.algorithm {
        Algorithm::Chash => hash_key(&conf.balancer.hash_on, conf.balancer.key.as_deref()),
        Algorithm::Semantic => semantic(conf),
        Algorithm::RoundRobin | Algorithm::LeastConn | Algorithm::Ewma => Ok(()),
    }
}

fn hash_key(hash_on: &str, key: Option<&str>) -> Result<(), String> {
    match (hash_on, key) {
        ("consumer", _) => Ok(()),
        // So it says, whatever is to be hashed.
        (_, None) => Err("must configure `hash_key` when balancer `hash_on` is not set to cookie".to_owned()),
        (_, Some(key)) => match schema_of_hash_key(hash_on) {
            Some(schema) => {
                schema.check(&Value::from(key)).map_err(|why| format!("invalid configuration: {why}"))
            }
            None => Ok(()),
        },
    }
}

fn semantic(conf: &Conf) -> Result<(), String> {
    let Some(opts) = &conf.semantic_opts else {
        return Err(
            "must configure `semantic_opts.embeddings` when balancer algorithm is semantic".to_owned()
        );
    };
    embeddings(opts)?;
    if let Some(without) = conf.instances.iter().find(|instance| instance.examples.is_empty()) {
        let name = &without.name;
        return Err(format!(
            "instance '{name}': must configure non-empty `examples` for the semantic algorithm"
        ));
    }
    match &opts.fallback {
        Some(fallback) if !conf.instances.iter().any(|instance| instance.name == *fallback) => {
            Err(format!("`semantic_opts.fallback` names unknown instance '{fallback}'"))
        }
        _ => Ok(()),
    }
}

fn embeddings(opts: &SemanticConf) -> Result<(), String> {
    let is_azure = opts.embeddings.provider == "azure-openai";
    let Some(url) = &opts.embeddings.endpoint else {
        return match is_azure {
            true => Err(
                "must configure `semantic_opts.embeddings.endpoint` when embeddings provider is azure-openai"
                    .to_owned(),
            ),
            false => Ok(()),
        };
    };
    let endpoint =
        Endpoint::parse(url).map_err(|_| "invalid `semantic_opts.embeddings.endpoint`".to_owned())?;
    if is_azure && matches!(endpoint.path.as_deref(), None | Some("/")) {
        return Err("`semantic_opts.embeddings.endpoint` for azure-openai must include the full deployment path, \
                    e.g. https://{resource}.openai.azure.com/openai/deployments/{deployment}/embeddings?api-version=..."
            .to_owned());
    }
    Ok(())
}
