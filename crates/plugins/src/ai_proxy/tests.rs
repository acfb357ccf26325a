use super::*;
use crate::support::testing;
use a6_protocols::{Conversion, Protocol};
use a6_resources::{Catalogue, ConfKind};
use a6_snapshot::{Account, Lane};

fn check(conf: Value) -> Result<(), String> {
    crate::Builtins::default().check(NAME, &conf, ConfKind::Route)
}

fn compile(conf: &Value) -> Result<AiProxy, String> {
    AiProxy::compile(conf, &testing::site(), &testing::shared())
}

fn head(conf: Value) -> String {
    let plugin = compile(&conf).unwrap();
    let Some(Lane::Fixed { head, .. }) = plugin.instance.way(Protocol::OpenaiChat).map(|way| &way.lane)
    else {
        panic!("{plugin:?}")
    };
    String::from_utf8(head.expose().clone()).unwrap()
}

/// How each protocol of a provider is asked: its path, or what is still open.
fn paths(conf: &Value) -> Vec<(&'static str, String)> {
    let plugin = compile(conf).unwrap();
    let ways = plugin.instance.ways.iter().map(|way| {
        let path = match &way.lane {
            Lane::Fixed { path, .. } => path.to_string(),
            Lane::Open(pattern) => pattern.path(Some("m:1"), true).unwrap(),
            Lane::Passing(path) => format!("passing {path:?}"),
            Lane::Unknown => "unknown".to_string(),
        };
        (way.client.name(), path)
    });
    ways.collect()
}

#[test]
fn every_protocol_of_a_provider_has_its_path() {
    let lane = |name: &'static str, path: &str| (name, path.to_string());
    let passing = lane("passthrough", "passing None");
    let openai = [
        lane("openai-chat", "/v1/chat/completions"),
        lane("openai-responses", "/v1/responses"),
        lane("openai-embeddings", "/v1/embeddings"),
        lane("anthropic-messages", "/v1/chat/completions"),
        passing.clone(),
    ];
    assert_eq!(paths(&json!({"provider": "openai", "auth": {}})), openai);
    let anthropic = [
        lane("openai-chat", "/v1/chat/completions"),
        lane("anthropic-messages", "/v1/messages"),
        passing.clone(),
    ];
    assert_eq!(paths(&json!({"provider": "anthropic", "auth": {}})), anthropic);
    let place = json!({"project_id": "p", "region": "us-central1"});
    let models = "/v1/projects/p/locations/us-central1/publishers/google/models/m%3A1:predict";
    let chat = "/v1beta1/projects/p/locations/us-central1/endpoints/openapi/chat/completions";
    let vertex = [
        lane("openai-chat", chat),
        lane("openai-embeddings", models),
        lane("anthropic-messages", chat),
        passing.clone(),
    ];
    let conf = json!({"provider": "vertex-ai", "auth": {}, "provider_conf": place});
    assert_eq!(paths(&conf), vertex);
    assert_eq!(&*compile(&conf).unwrap().instance.address, "us-central1-aiplatform.googleapis.com:443");
    let nowhere = json!({"provider": "vertex-ai", "auth": {}, "override": {"endpoint": "http://h"}});
    let unknown = [
        lane("openai-chat", "unknown"),
        lane("openai-embeddings", "unknown"),
        lane("anthropic-messages", "unknown"),
        passing,
    ];
    assert_eq!(paths(&nowhere), unknown);
    let endpoint = json!({"provider": "vertex-ai", "auth": {}, "override": {"endpoint": "http://h/x"}});
    let fixed = [
        lane("openai-chat", "/x"),
        lane("openai-embeddings", "/x"),
        lane("anthropic-messages", "/x"),
        lane("passthrough", "passing Some(\"/x\")"),
    ];
    assert_eq!(paths(&endpoint), fixed);
}

#[test]
fn an_endpoint_that_is_the_path_of_another_protocol_asks_for_a_conversion() {
    let conversion = |provider: &str, endpoint: Option<&str>, client: Protocol| {
        let mut conf = json!({"provider": provider, "auth": {}});
        if let Some(path) = endpoint {
            conf["override"] = json!({"endpoint": format!("http://h{path}")});
        }
        let plugin = compile(&conf).unwrap();
        plugin.instance.way(client).unwrap().conversion
    };
    let (chat, messages) = (Protocol::OpenaiChat, Protocol::AnthropicMessages);
    let cases = [
        ("anthropic", None, chat, None),
        ("anthropic", Some("/proxy/v1/messages"), chat, Some(Conversion::ChatToMessages)),
        ("anthropic", Some("/v1/messages"), messages, None),
        ("anthropic", Some("/v1/chat/completions"), messages, Some(Conversion::MessagesToChat)),
        ("anthropic", Some("/x"), messages, None),
        ("openai", Some("/v1/responses"), chat, None),
        ("openai", None, messages, Some(Conversion::MessagesToChat)),
    ];
    for (provider, endpoint, client, expected) in cases {
        assert_eq!(conversion(provider, endpoint, client), expected, "{provider} {endpoint:?} {client:?}");
    }
}

#[test]
fn a_clients_query_never_replaces_a_credential() {
    let plugin = compile(&json!({
        "provider": "openai",
        "auth": {"query": {"k": "auth", "s": "auth"}},
        "override": {"endpoint": "http://h/p?b=2&k=endpoint"},
    }));
    let plugin = plugin.unwrap();
    let hidden: [Box<str>; 1] = ["apikey".into()];
    let cases = [
        (None, "s=auth&b=2&k=endpoint"),
        (Some("k=client&b=client&z=9&s=x"), "s=auth&k=endpoint&b=client&z=9"),
        (Some("apikey=secret&%6B=1&&z"), "s=auth&b=2&k=endpoint&z"),
    ];
    for (client, expected) in cases {
        assert_eq!(plugin.instance.query_with(client, &hidden).expose(), expected, "{client:?}");
    }
}

#[test]
fn accounts_need_what_they_are_signed_with() {
    let region = json!({"region": "us-east-1"});
    let key = json!({"access_key_id": "a", "secret_access_key": "b"});
    let vertex = "vertex-ai requires either provider_conf (project_id + region) or override.endpoint";
    let cases = [
        (json!({"provider": "bedrock", "auth": {}}), "bedrock requires provider_conf.region"),
        (json!({"provider": "bedrock", "auth": {}, "provider_conf": region}), "bedrock requires auth.aws"),
        (
            json!({"provider": "bedrock", "auth": {"aws": key, "gcp": {}}, "provider_conf": region}),
            "auth.gcp: bedrock takes no token of Google's; take it out",
        ),
        (
            json!({"provider": "openai", "auth": {"aws": key}}),
            "auth.aws: requests to openai are not signed; take it out",
        ),
        (
            json!({
                "provider": "bedrock",
                "auth": {"aws": {"access_key_id": "a", "secret_access_key": "b", "session_token": "x\ny"}},
                "provider_conf": region,
            }),
            "auth.aws.session_token: the value has a character that no header may have",
        ),
        (json!({"provider": "vertex-ai", "auth": {}}), vertex),
        (json!({"provider": "vertex-ai", "auth": {}, "provider_conf": region}), vertex),
        (
            json!({"provider": "openai", "auth": {"gcp": {}}}),
            "auth.gcp: there is neither service_account_json nor a service account in the environment variable \
             GCP_SERVICE_ACCOUNT",
        ),
        (
            json!({"provider": "openai", "auth": {"gcp": {"service_account_json": "{"}}}),
            "invalid gcp service_account_json: EOF while parsing an object at line 1 column 1",
        ),
        (
            json!({"provider": "openai", "auth": {"gcp": {"service_account_json": "{}"}}}),
            "invalid gcp service_account_json: client_email is missing",
        ),
        (
            json!({"provider": "openai", "auth": {}, "provider_conf": {"region": "a/b"}}),
            "provider_conf.region: only letters, digits and -_.: may stand in it",
        ),
    ];
    for (conf, expected) in cases {
        assert_eq!(check(conf.clone()).unwrap_err(), expected, "{conf}");
    }
    // What these stand for is looked at when it is known.
    let references = json!({"provider": "openai", "auth": {"query": {"k": "$ENV://KEY"}},
        "override": {"endpoint": "$secret://vault/1/openai/endpoint"}});
    assert_eq!(check(references), Ok(()));
}

#[test]
fn heads_are_made_of_provider_endpoint_and_auth() {
    let conf =
        json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer k", "Host": "evil"}}});
    assert_eq!(
        head(conf),
        "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\nauthorization: Bearer k\r\n\
         content-type: application/json\r\n"
    );
    let targets = [
        ("https://h", "/v1/chat/completions?a=1&k=x%20y"),
        ("https://h/", "/?a=1&k=x%20y"),
        ("https://h:8443/p?a=2", "/p?k=x%20y&a=2"),
    ];
    for (endpoint, target) in targets {
        let conf = json!({
            "provider": "openai-compatible",
            "auth": {"query": {"k": "x y", "a": "1"}},
            "override": {"endpoint": endpoint},
        });
        assert!(head(conf).starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{endpoint}");
    }
}

#[test]
fn unusable_configurations_are_refused_by_name() {
    let cases = [
        (json!({"auth": {}}), "property \"provider\" is required"),
        (json!({"provider": "openai"}), "property \"auth\" is required"),
        (
            json!({"provider": "x", "auth": {}}),
            "property \"provider\" validation failed: matches none of the enum values",
        ),
        (
            json!({"provider": "openai-compatible", "auth": {}}),
            "provider openai-compatible has no host of its own; set override.endpoint to its URL",
        ),
        (
            json!({"provider": "openai", "auth": {"header": {"a": "x\ny"}}}),
            "auth.header.a: the value has a character that no header may have",
        ),
    ];
    for (conf, expected) in cases {
        assert_eq!(check(conf.clone()).unwrap_err(), expected, "{conf}");
    }
    // What these stand for is looked at when it is known.
    let references = json!({
        "provider": "openai",
        "auth": {"query": {"k": "$ENV://KEY"}, "gcp": {"service_account_json": "$secret://vault/1/gcp/account"}},
        "override": {"endpoint": "$secret://vault/1/openai/endpoint"},
    });
    assert_eq!(check(references), Ok(()));
}

#[test]
fn keys_never_show_in_debug_output() {
    let conf = json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer sk-live"}}});
    let plugin = compile(&conf).unwrap();
    assert!(!format!("{plugin:?}").contains("sk-live"));
}

#[test]
fn durations_and_pools_have_their_defaults() {
    let plugin = compile(&json!({"provider": "openai", "auth": {}})).unwrap();
    assert_eq!(plugin.max_body, 67_108_864);
    assert_eq!(plugin.instance.timeout.as_millis(), 30_000);
    assert_eq!(plugin.instance.keepalive.unwrap().size, 30);
    assert!(plugin.instance.target.verify && !plugin.instance.has_credentials);
}

fn bedrock(extra: &Value) -> Value {
    let mut conf = json!({
        "provider": "bedrock",
        "auth": {"aws": {"access_key_id": "AKID", "secret_access_key": "the-secret", "session_token": "the-token"}},
        "provider_conf": {"region": "eu-west-1"},
    });
    conf.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    conf
}

#[test]
fn a_signed_instance_writes_its_own_headers_and_signs_its_host() {
    let plugin = compile(&bedrock(&json!({}))).unwrap();
    let Some(Account::Aws(account)) = &plugin.instance.account else { panic!("{plugin:?}") };
    assert_eq!((&*account.region, &*account.service), ("eu-west-1", "bedrock"));
    assert_eq!(&*plugin.instance.address, "bedrock-runtime.eu-west-1.amazonaws.com:443");
    assert_eq!(plugin.instance.head.expose(), b"host: bedrock-runtime.eu-west-1.amazonaws.com\r\n");
    assert!(plugin.instance.has_credentials);
    let names: Vec<_> = plugin.instance.head_names.iter().map(http::HeaderName::as_str).collect();
    for name in ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!format!("{plugin:?}").contains("the-"));
    let converse = ("bedrock-converse", "/model/m%3A1/converse-stream".to_string());
    assert_eq!(paths(&bedrock(&json!({})))[1], converse);
}

#[test]
fn a_signed_endpoint_has_a_host_without_port_and_a_path_encoded_once() {
    let endpoint = json!({"override": {"endpoint": "http://127.0.0.1:4010/model/a:b%2fc/converse"}});
    assert_eq!(paths(&bedrock(&endpoint))[1], ("bedrock-converse", "/model/a%3Ab%2Fc/converse".to_string()));
    let plugin = compile(&bedrock(&endpoint)).unwrap();
    assert_eq!(plugin.instance.head.expose(), b"host: 127.0.0.1\r\n");
    assert_eq!(&*plugin.instance.address, "127.0.0.1:4010");
}
