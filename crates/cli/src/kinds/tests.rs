use serde_json::{Value, json};

use super::*;

/// The cells of an object as a list answer holds it, under this key.
fn row(command: &str, key: &str, object: &Value) -> Vec<String> {
    let kind = by_command(command).unwrap();
    let item = Item::read(kind, &json!({"key": key, "value": object})).unwrap();
    kind.columns.iter().map(|column| (column.cell)(&item)).collect()
}

#[test]
fn cells_follow_the_rules_of_their_column() {
    let many = json!({"d": {}, "c": {}, "b": {}, "a": {}, "e": {}});
    let cases = [
        (
            "route",
            json!({"id": "1", "name": "a", "uri": "/x", "methods": ["GET", "POST"], "status": 1, "upstream_id": 7}),
            vec!["1", "a", "/x", "GET, POST", "1", "7"],
        ),
        (
            "route",
            json!({"id": 2, "uris": ["/a", "/b"], "upstream": {"nodes": {"b:1": 1, "a:1": 1}}}),
            vec!["2", "", "/a, /b", "", "", "a:1, b:1"],
        ),
        ("service", json!({"id": "s", "plugins": {"key-auth": {}}}), vec!["s", "", "", "1 plugins", ""]),
        ("service", json!({"id": "s", "plugins": {}}), vec!["s", "", "", "", ""]),
        (
            "upstream",
            json!({"id": "u", "type": "chash", "scheme": "https",
                "nodes": [{"host": "b", "port": 80}, {"host": "a"}]}),
            vec!["u", "", "chash", "a, b:80", "https", ""],
        ),
        (
            "consumer",
            json!({"username": "jack", "desc": "d", "group_id": "g", "plugins": many}),
            vec!["jack", "d", "g", "5 plugins", ""],
        ),
        ("credential", json!({"id": "c", "plugins": many}), vec!["c", "a,b,c (+2)", ""]),
        ("global-rule", json!({"id": "1", "plugins": many}), vec!["1", "a,b,c,d,e", "", ""]),
        ("plugin-config", json!({"id": "p", "plugins": many}), vec!["p", "", "a,b,c +2", ""]),
        ("plugin-config", json!({"id": "p", "plugins": {"b": {}, "a": {}}}), vec!["p", "", "a,b", ""]),
        ("consumer-group", json!({"id": "g", "plugins": many}), vec!["g", "", "5 plugins (a,b,c...)", ""]),
        (
            "ssl",
            json!({"id": "s", "sni": "a.test", "cert": "none", "create_time": 0}),
            vec!["s", "a.test", "enabled", "server", "-", "1970-01-01 00:00:00"],
        ),
        (
            "ssl",
            json!({"id": "s", "snis": ["a".repeat(30), "b".repeat(30)], "status": 0, "type": "client"}),
            vec!["s", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbb...", "disabled", "client", "-", ""],
        ),
        (
            "stream-route",
            json!({"id": "s", "remote_addr": "10.0.0.1", "server_port": 6380, "upstream_id": "u", "sni": "x"}),
            vec!["s", "", "10.0.0.1", "6380", "u", "x"],
        ),
        ("proto", json!({"id": "p", "name": "n", "desc": "d"}), vec!["p", "n", "d", ""]),
    ];
    for (command, object, expected) in cases {
        assert_eq!(row(command, "/apisix/x/key", &object), expected, "{command} {object}");
    }
}

#[test]
fn an_object_without_an_id_has_that_of_its_key() {
    assert_eq!(row("route", "/apisix/routes/r1", &json!({"uri": "/x"}))[0], "r1");
    let cases = [
        ("vault/1", json!({"id": "vault/1", "uri": "http://v"}), ["vault/1", "vault", "http://v", ""]),
        ("aws/2", json!({"id": "2", "region": "eu"}), ["aws/2", "aws", "eu", ""]),
        ("gcp/3", json!({}), ["gcp/3", "gcp", "gcp", ""]),
    ];
    for (id, object, expected) in cases {
        assert_eq!(row("secret", &format!("/apisix/secrets/{id}"), &object), expected, "{object}");
    }
}

#[test]
fn the_day_on_which_a_certificate_ends_is_read_from_it() {
    let pem = include_str!("certificate.pem");
    assert_eq!(row("ssl", "", &json!({"id": "1", "cert": pem}))[4], "2036-11-22");
}

#[test]
fn paths_escape_ids_and_insist_on_their_form() {
    let path = |command: &str, owner: Option<&str>, id: &str| {
        let place = Place { kind: by_command(command).unwrap(), owner };
        place.object(id).map_err(|failure| failure.to_string())
    };
    assert_eq!(path("route", None, "a b/c"), Ok("/apisix/admin/routes/a%20b%2Fc".to_owned()));
    assert_eq!(path("secret", None, "vault/a b"), Ok("/apisix/admin/secrets/vault/a%20b".to_owned()));
    assert_eq!(
        path("credential", Some("j/k"), "1"),
        Ok("/apisix/admin/consumers/j%2Fk/credentials/1".to_owned())
    );
    for id in ["vault", "vault/", "/1", "vault/1/2"] {
        let failure = path("secret", None, id).unwrap_err();
        assert!(failure.contains("expected manager/id\nhint: write it like vault/main"), "{id}: {failure}");
    }
}

#[test]
fn no_two_kinds_share_a_word_and_every_example_is_a_document() {
    let mut words: Vec<&str> =
        KINDS.iter().flat_map(|kind| std::iter::once(&kind.command).chain(kind.aliases).copied()).collect();
    words.sort_unstable();
    let all = words.len();
    words.dedup();
    assert_eq!(words.len(), all, "{words:?}");
    for kind in &KINDS {
        let example: Value = serde_saphyr::from_str(kind.example).unwrap();
        let usual = [kind.identity];
        let names = match kind.create {
            Create::PutByArgument(names) => names,
            _ => usual.as_slice(),
        };
        assert_eq!(names.iter().find_map(|name| example.get(name)), Some(&json!(kind.example_id)));
    }
}
