use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use a6_core::Secret;
use a6_resources::{Catalogue, ConfKind, PluginSpec, Schema};
use serde_json::{Value, json};

use super::*;

/// Knows key-auth, whose consumers have a `key`.
struct KeyAuth(Vec<PluginSpec>);

impl KeyAuth {
    fn new() -> Self {
        let schema = |document| Schema::compile(document).unwrap();
        let key = json!({"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]});
        Self(vec![PluginSpec {
            name: "key-auth",
            priority: 2500,
            version: "0.1",
            kind: Some("auth"),
            schema: schema(json!({"type": "object", "properties": {"header": {"type": "string"}}})),
            consumer_schema: Some(schema(key)),
            metadata_schema: None,
            consumer_key: Some("key"),
            encrypt_fields: &["key"],
        }])
    }
}

impl Catalogue for KeyAuth {
    fn specs(&self) -> &[PluginSpec] {
        &self.0
    }

    fn check(&self, name: &str, conf: &Value, kind: ConfKind) -> Result<(), String> {
        let spec = self.spec(name).unwrap();
        let schema =
            if kind == ConfKind::Consumer { spec.consumer_schema.as_ref() } else { Some(&spec.schema) };
        schema.unwrap().check(conf)
    }
}

fn file(path: &str, format: FileFormat) -> ConfigFile {
    let variables = [("PORT", "1980"), ("KEY", "12345"), ("ODD", "a #b: [c")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let catalogue: Arc<dyn Catalogue> = Arc::new(KeyAuth::new());
    let keys = [Secret::new("ABCDEFGHIJKLMNOP".to_owned())];
    ConfigFile::new(path.into(), format, variables, catalogue.clone(), Opener::new(&keys, true, catalogue))
}

fn read(format: FileFormat, text: &str) -> Result<Document, FileError> {
    let path = if format == FileFormat::Yaml { "a.yaml" } else { "a.json" };
    file(path, format).document(text.as_bytes())
}

/// What a document makes of an empty configuration, by key.
fn resources(document: &Document) -> Vec<(String, Value)> {
    let changes = document.configuration.changes(&mut std::iter::empty());
    let named = changes.into_iter().map(|change| {
        let value = change.value.map(|value| (*value).clone()).unwrap_or_default();
        (format!("{}/{}", change.kind.spec().collection, change.id), value)
    });
    named.collect()
}

fn refusal(format: FileFormat, text: &str) -> String {
    read(format, text).err().map(|error| error.0).unwrap_or_default()
}

const GOOD: &str = "upstreams:
  - id: u
    type: roundrobin
    nodes: {\"127.0.0.1:${{PORT}}\": 1}
routes:
  - uri: /a
    priority: ${{PORT}}
    upstream_id: u
    desc: ${{ODD}}
consumers:
  - username: jack
    plugins: {key-auth: {key: \"${{KEY}}\"}}
  - id: jack/credentials/c
    plugins: {key-auth: {key: k2}}
# the end
#END
";

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = resources(&read(FileFormat::Yaml, GOOD).unwrap());
    let upstream = json!({"id": "u", "type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}});
    let route = json!({"uri": "/a", "priority": 1980, "upstream_id": "u", "desc": "a #b: [c", "id": "arr_1"});
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "12345"}}});
    let credential = json!({"id": "c", "plugins": {"key-auth": {"key": "k2"}}});
    let expected = [
        ("routes/arr_1", route.clone()),
        ("consumers/jack/credentials/c", credential),
        ("consumers/jack", consumer.clone()),
        ("upstreams/u", upstream.clone()),
    ];
    assert_eq!(yaml, expected.map(|(key, value)| (key.to_owned(), value)));

    let mut route = route;
    route["priority"] = json!("${{PORT}}");
    let document = json!({
        "upstreams": [upstream],
        "routes": [route],
        "consumers": [consumer, {"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "k2"}}}],
    });
    for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap().replace("  ", "\t")] {
        assert_eq!(resources(&read(FileFormat::Json, &text).unwrap()), yaml);
    }
    for (format, nothing) in
        [(FileFormat::Yaml, "#END"), (FileFormat::Yaml, "routes:\n#END\n"), (FileFormat::Json, "{}")]
    {
        assert_eq!(resources(&read(format, nothing).unwrap()), [], "{nothing}");
    }
}

#[test]
fn only_what_has_its_end_is_whole() {
    let whole = |text: &str| has_end(text.as_bytes());
    for text in ["#END", "routes: []\n#END", "routes: []\n#END\n", "a #END \r\n\t ", "#END      "] {
        assert!(whole(text), "{text:?}");
    }
    for text in ["", "#EN", "routes: []\n", "#END\nroutes: []\n", "#END x", "#END       ", "#end"] {
        assert!(!whole(text), "{text:?}");
    }
    let text = refusal(FileFormat::Yaml, "routes: []\n");
    assert!(text.starts_with("missing valid end flag in file a.yaml"), "{text}");
}

#[test]
fn faults_are_told_with_line_and_column() {
    let cases = [
        (
            "routes:\n  - id: r\n    uri: 1\n    plugins: {}\n#END",
            "a.yaml:3:5: routes[0].uri: routes r: invalid configuration: property \"uri\"",
        ),
        (
            "routes:\n  - uri: /a\n    upstream_id: u\n#END",
            "a.yaml:3:5: routes[0].upstream_id: routes arr_1: failed to fetch upstream info by upstream id [u]",
        ),
        (
            "consumers:\n  - username: a\n    plugins:\n      key-auth: {}\n#END",
            "a.yaml:4:7: consumers[0].plugins.key-auth: consumers a: invalid plugins configuration: ",
        ),
        (
            "routes:\n  - uri: /a\n    plugins: {nope: {}}\n#END",
            "a.yaml:3:15: routes[0].plugins.nope: routes arr_1: unknown plugin [nope]",
        ),
        (
            "routes:\n  - uri: /a\n    uri: /b\n#END",
            "a.yaml:3:5: routes[0].uri: duplicate key, first set on line 2",
        ),
        (
            "routes:\n  - uri: ${{NOWHERE}}\n#END",
            "a.yaml:2:10: routes[0].uri: environment variable NOWHERE is not set",
        ),
        ("routes: [\n#END", "a.yaml:"),
        ("routes: {id: r}\n#END", "a.yaml:1:1: routes: expected a list, found a mapping"),
        ("- 5\n#END", "a.yaml:1:1: expected a mapping of sections"),
        ("routes:\n  - 5\n#END", "a.yaml:2:5: routes[0]: routes arr_1: invalid configuration: wrong type"),
        ("stream_routes:\n  - id: 1\n#END", "a.yaml:2:5: stream_routes[0]: stream mode is disabled"),
        ("routes:\n  - uri: /a\n    desc: \u{1}\n#END", "a.yaml:"),
    ];
    for (text, expected) in cases {
        let told = refusal(FileFormat::Yaml, text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    let cases = [
        (
            "{\n  \"routes\": [{\n    \"uri\": 1, \"plugins\": {}\n  }]\n}",
            "a.json:3:12: routes[0].uri: routes arr_1: ",
        ),
        ("{\"routes\": [}", "a.json:1:13: not valid JSON: "),
        ("{\"routes\": [], \"routes\": []}", "a.json:1:23: not valid JSON: duplicate key \"routes\""),
        ("", "a.json:1:1: not valid JSON: "),
    ];
    for (text, expected) in cases {
        let told = refusal(FileFormat::Json, text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    let told = FileError(file("a.yaml", FileFormat::Yaml).document(b"a: \xff\n#END").err().unwrap().0);
    assert_eq!(told.0, "a.yaml:1:4: not UTF-8; save the file as UTF-8");
}

#[test]
fn all_faults_are_told_up_to_ten_and_no_secret_is() {
    let routes: String =
        (0..13).map(|number| format!("  - {{id: {number}, uri: 1, plugins: {{}}}}\n")).collect();
    let told = refusal(FileFormat::Yaml, &format!("routes:\n{routes}#END"));
    assert_eq!(told.lines().count(), 11, "{told}");
    assert!(told.ends_with("a.yaml: and 3 more"), "{told}");
    let twice = "consumers:
  - {username: a, plugins: {key-auth: {key: sk-secret}}}
  - {username: b, plugins: {key-auth: {key: sk-secret}}}
#END";
    let told = refusal(FileFormat::Yaml, twice);
    assert!(told.contains("duplicate key of plugin key-auth") && !told.contains("sk-secret"), "{told}");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let text = "rotes: []
plugins: [{name: key-auth}]
routes:
  - {id: r, uri: /a, plugins: {}}
  - {id: r, uri: /b, plugins: {}}
#END";
    let document = read(FileFormat::Yaml, text).unwrap();
    let expected = [
        "a.yaml:1:1: rotes: unknown section, ignored",
        "a.yaml:2:1: plugins: known to APISIX, not served by a6 yet: every plugin of a6 may be used; ignored",
        "a.yaml:5:5: routes[1]: something before it on line 4 has the same id; this one counts",
    ];
    assert_eq!(document.warnings, expected);
    assert_eq!(resources(&document)[0].1["uri"], json!("/b"));
    let refused = document.refused("routes/r", "no such thing");
    assert_eq!(refused.0, "a.yaml:5:5: routes[1]: routes r: no such thing");
}

/// `sk-live-1234567890`, encrypted by `openssl enc -aes-128-cbc` with the key of [`file`], and with another one.
const OWN: &str = "ABz19mkRZHV2dP7T3nX1i0peemtltaKGUZ19HKmgHd0=";
const OTHER: &str = "Yp0DN37Kt9N6gOe079LZBhAjzq2/XbO4ritsZqIV2Vk=";

#[test]
fn what_apisix_has_encrypted_is_opened() {
    let text = format!(
        "consumers:\n  - username: jack\n    desc: {OWN}\n    plugins: {{key-auth: {{key: {OWN}}}}}\n#END"
    );
    let document = read(FileFormat::Yaml, &text).unwrap();
    let jack = &resources(&document)[0].1;
    assert_eq!(jack["plugins"]["key-auth"]["key"], "sk-live-1234567890");
    assert_eq!(jack["desc"], OWN, "what is no secret stands as it is");
    assert_eq!(document.warnings, Vec::<String>::new());
    // Two that are one, once they are opened.
    let twice = format!(
        "consumers:\n  - username: jack\n    plugins: {{key-auth: {{key: {OWN}}}}}\n  - username: jill\n    \
         plugins: {{key-auth: {{key: sk-live-1234567890}}}}\n#END"
    );
    let told = refusal(FileFormat::Yaml, &twice);
    assert!(told.contains("duplicate key of plugin key-auth") && !told.contains("sk-live"), "{told}");
}

#[test]
fn what_no_key_opens_is_told() {
    let text = format!("consumers:\n  - username: jack\n    plugins: {{key-auth: {{key: {OTHER}}}}}\n#END");
    let document = read(FileFormat::Yaml, &text).unwrap();
    assert_eq!(resources(&document)[0].1["plugins"]["key-auth"]["key"], OTHER);
    let expected = "a.yaml:3:26: consumers jack: plugins.key-auth.key looks as if APISIX has encrypted it, and no key \
                    opens it: it is used as it stands; if it is encrypted, put its key into \
                    apisix.data_encryption.keyring";
    assert_eq!(document.warnings, [expected]);
    // A private key has to be one: it is refused, and why is told.
    let made = "ssls:\n  - id: s\n    sni: a.test\n    cert: $env://CERT\n    key: ";
    let told = refusal(FileFormat::Yaml, &format!("{made}{OTHER}\n#END"));
    let expected = "; key looks as if APISIX has encrypted it, and no key of ";
    assert!(told.contains(expected) && !told.contains(OTHER), "{told}");
    let many: String = (0..13)
        .map(|number| {
            format!("  - {{username: u{number}, plugins: {{key-auth: {{key: {number:0>21}A==}}}}}}\n")
        })
        .collect();
    let warnings = read(FileFormat::Yaml, &format!("consumers:\n{many}#END")).unwrap().warnings;
    assert_eq!((warnings.len(), warnings[10].as_str()), (11, "a.yaml: and 3 more secrets that no key opens"));
}

/// Waits for the next news of a file.
fn news(watch: &mut Watch) -> Result<String, String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(news) = watch.wait() {
            return news.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.0);
        }
        assert!(Instant::now() < deadline, "no news came");
    }
}

fn watched(path: &Path, bytes: &[u8]) -> Watch {
    Watch::new(file(path.to_str().unwrap(), FileFormat::Yaml), bytes)
}

#[test]
fn every_way_to_change_a_file_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "1").unwrap();
    let mut watch = watched(&path, b"0");
    assert_eq!(news(&mut watch), Ok("1".to_owned()), "it was changed before it was watched");
    fs::write(&path, "2").unwrap();
    assert_eq!(news(&mut watch), Ok("2".to_owned()), "in place");
    fs::write(dir.path().join("new"), "3").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(news(&mut watch), Ok("3".to_owned()), "by rename");
    fs::remove_file(&path).unwrap();
    assert!(news(&mut watch).unwrap_err().contains("cannot read"));
    fs::write(&path, "3").unwrap();
    assert_eq!(news(&mut watch), Ok("3".to_owned()), "it is back");
}

#[test]
fn a_link_on_the_way_that_is_replaced_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    // As Kubernetes mounts a ConfigMap.
    for (version, text) in [("..1", "1"), ("..2", "2")] {
        fs::create_dir(dir.path().join(version)).unwrap();
        fs::write(dir.path().join(version).join("a.yaml"), text).unwrap();
    }
    symlink("..1", dir.path().join("..data")).unwrap();
    symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    let mut watch = watched(&dir.path().join("a.yaml"), b"1");
    assert!(watch.wait().is_none());
    symlink("..2", dir.path().join("..data_tmp")).unwrap();
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    assert_eq!(news(&mut watch), Ok("2".to_owned()));
    fs::write(dir.path().join("..2/a.yaml"), "3").unwrap();
    assert_eq!(news(&mut watch), Ok("3".to_owned()), "where the link leads to is watched too");
}
