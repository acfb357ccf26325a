use a6_resources::Ssl;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::{Value, json};

use super::*;

/// A resource with a new certificate.
fn document(more: Value) -> Value {
    let made = rcgen::generate_simple_self_signed(["a.test".to_string()]).unwrap();
    let mut document = json!({"id": "1", "cert": made.cert.pem(), "key": made.signing_key.serialize_pem()});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

fn host(more: Value) -> Result<TlsHost, String> {
    let ssl: Ssl = serde_json::from_value(document(more)).unwrap();
    Workshop::default().host(&ssl)
}

#[test]
fn a_name_finds_its_certificate() {
    let lists = [
        json!(["A.test", "b.test."]),
        json!(["*.test", "a.test"]),
        json!(["*.deep.b.test"]),
        json!(["*b.test"]),
        json!(["*"]),
    ];
    let hosts: Vec<_> = lists.iter().map(|snis| Arc::new(host(json!({"snis": snis})).unwrap())).collect();
    let (some, all) = (TlsHosts::new(hosts[..4].iter()), TlsHosts::new(hosts.iter()));
    let place = |table: &TlsHosts, name: &str| {
        let found = table.find(name)?;
        hosts.iter().position(|host| Arc::ptr_eq(host, found))
    };
    let cases = [
        ("a.test", Some(0)),
        ("A.TEST.", Some(0)),
        ("b.test", Some(0)),
        ("c.test", Some(1)),
        ("xb.test", Some(3)),
        ("x.a.test", None),
        ("x.deep.b.test", Some(2)),
        ("x.y.deep.b.test", None),
        ("deep.b.test", None),
        ("test", None),
        (".test", None),
        ("", None),
        ("ä.test", Some(1)),
    ];
    for (name, expected) in cases {
        assert_eq!(place(&some, name), expected, "{name}");
        assert_eq!(place(&all, name), expected.or(Some(4)), "{name}");
    }
    // What is too long for a name or its label is no host's, and costs no look-up for each of its bytes.
    for name in
        ["x".repeat(100_000), format!("{}b.test", "x".repeat(64)), format!("{}.test", "x.".repeat(125))]
    {
        assert_eq!((place(&some, &name), place(&all, &name)), (None, Some(4)), "{}", name.len());
    }
    assert_eq!(place(&some, &format!("{}b.test", "x".repeat(62))), Some(3));
}

#[test]
fn what_cannot_be_used_is_named_without_its_text() {
    let stranger = document(json!({}))["key"].clone();
    let cases = [
        (json!({"key": stranger}), "key: "),
        (json!({"key": "hidden"}), "key: it is no PEM private key"),
        (json!({"cert": "hidden"}), "cert: it holds no PEM certificate"),
        (json!({"certs": ["hidden"], "keys": ["hidden"]}), "cert: "),
        (json!({"client": {"ca": "hidden"}}), "client.ca: "),
        (json!({"ssl_protocols": ["TLSv1.1"]}), "ssl_protocols: "),
    ];
    for (more, begin) in cases {
        let error = host(more.clone()).unwrap_err();
        assert!(error.starts_with(begin) && !error.contains("hidden"), "{more}: {error}");
    }
}

#[test]
fn a_name_whose_certificate_is_not_known_is_nobody_elses_and_lets_nobody_in() {
    let all = Arc::new(host(json!({"snis": ["*"]})).unwrap());
    let ca = document(json!({}))["cert"].clone();
    let cases = [
        (json!({"cert": "$env://CERT"}), true),
        (json!({"key": "$secret://vault/1/tls/key"}), true),
        (json!({"certs": ["$env://C"], "keys": ["$env://K"]}), true),
        (json!({"key": "$env://KEY", "client": {"ca": ca}}), false),
        (json!({"client": {"ca": "$env://CA"}}), false),
    ];
    for (mut more, is_open) in cases {
        more["snis"] = json!(["a.test"]);
        let unresolved = Arc::new(host(more.clone()).unwrap());
        let table = TlsHosts::new([&unresolved, &all].into_iter());
        let found = table.find("a.test").unwrap();
        assert!(Arc::ptr_eq(found, &unresolved) && found.config().is_none(), "{more}");
        assert_eq!((found.is_open("/"), found.believes(&[])), (is_open, false), "{more}");
        assert_eq!(table.asks_clients(), !is_open, "{more}");
    }
}

/// A client's certificate with the chain of `length` authorities behind it, and the last of them in PEM.
fn chain(length: usize) -> (Vec<CertificateDer<'static>>, String) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let mut issuer = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let root = issuer.pem();
    let mut links = Vec::new();
    for number in 1..length {
        let key = KeyPair::generate().unwrap();
        issuer = CertifiedIssuer::signed_by(authority(&format!("link {number}")), key, &issuer).unwrap();
        links.push(issuer.der().clone());
    }
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let shown = std::iter::once(own.der().clone()).chain(links.into_iter().rev()).collect();
    (shown, root)
}

#[test]
fn a_client_is_believed_whose_chain_is_not_too_long() {
    let (_, stranger) = chain(1);
    for (length, depth, expected) in [(1, 0, true), (2, 0, false), (2, 1, true), (3, 1, false), (3, 2, true)]
    {
        let (shown, root) = chain(length);
        let judged = |ca: &str| host(json!({"sni": "a.test", "client": {"ca": ca, "depth": depth}})).unwrap();
        assert_eq!(judged(&root).believes(&shown), expected, "{length} {depth}");
        assert!(!judged(&stranger).believes(&shown) && !judged(&root).believes(&[]), "{length} {depth}");
    }
}

#[test]
fn paths_may_be_open_where_clients_are_asked() {
    let nobody = host(json!({"sni": "a.test"})).unwrap();
    assert!(nobody.is_open("/x") && !nobody.believes(&[]));
    let client = json!({"ca": chain(1).1, "skip_mtls_uri_regex": ["^/health$", "\\.css$"]});
    let some = host(json!({"sni": "a.test", "client": client})).unwrap();
    for (path, is_open) in [("/health", true), ("/health/x", false), ("/a.css", true), ("/", false)] {
        assert_eq!(some.is_open(path), is_open, "{path}");
    }
}
