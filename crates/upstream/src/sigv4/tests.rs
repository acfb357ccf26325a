use super::*;
use a6_core::Secret;

const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqT\
                     flfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd\
                     8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlT\
                     JabIQwj2ICCR/oLxBA==";
/// 2015-08-30, 12:36:00, as in AWS's own test suite.
const MOMENT: u64 = 1_440_938_160;

fn account(service: &str) -> AwsAccount {
    AwsAccount {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        session_token: None,
        region: "us-east-1".into(),
        service: service.into(),
    }
}

/// Name, method and target, further headers, body, names of all headers that are signed, signature.
type Vector = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    &'static str,
);

const PLAIN: &str = "host;x-amz-date";
const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const POST_VANILLA: &str = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
const UNRESERVED_TEXT: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// AWS's test suite (aws-sig-v4-test-suite), as far as it is about HTTP that can be sent.
const VECTORS: &[Vector] = &[
    ("get-vanilla", "GET /", &[], "", PLAIN, VANILLA),
    ("post-vanilla", "POST /", &[], "", PLAIN, POST_VANILLA),
    (
        "get-utf8",
        "GET /\u{1234}",
        &[],
        "",
        PLAIN,
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    (
        "get-vanilla-empty-query-key",
        "GET /?Param1=value1",
        &[],
        "",
        PLAIN,
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET /?Param2=value2&Param1=value1",
        &[],
        "",
        PLAIN,
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-utf8-query",
        "GET /?\u{1234}=bar",
        &[],
        "",
        PLAIN,
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "post-vanilla-query-nonunreserved",
        "POST /?%40%23%24%25%5E=&%2B=%2F%2C%3F%3E%3C%60%22%3B%3A%5C%7C%5D%5B%7B%7D",
        &[],
        "",
        PLAIN,
        "66c82657c86e26fb25238d0e69f011edc4c6df5ae71119d7cb98ed9b87393c1e",
    ),
    (
        "post-vanilla-query-space",
        "POST /?p=",
        &[],
        "",
        PLAIN,
        "e71688addb58a26418614085fb730ba3faa623b461c17f48f2fbdb9361b94a9b",
    ),
    ("get-relative", "GET /example/..", &[], "", PLAIN, VANILLA),
    ("get-relative-relative", "GET /example1/example2/../..", &[], "", PLAIN, VANILLA),
    ("get-slash", "GET //", &[], "", PLAIN, VANILLA),
    ("get-slash-dot-slash", "GET /./", &[], "", PLAIN, VANILLA),
    (
        "get-slash-pointless-dot",
        "GET /./example",
        &[],
        "",
        PLAIN,
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    (
        "get-slashes",
        "GET //example//",
        &[],
        "",
        PLAIN,
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-header-value-trim",
        "GET /",
        &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\" ")],
        "",
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-header-key-duplicate",
        "GET /",
        &[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
        "",
        "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "post-sts-header-before",
        "POST /",
        &[("X-Amz-Security-Token", TOKEN)],
        "",
        "host;x-amz-date;x-amz-security-token",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST /",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "Param1=value1",
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    (
        "post-x-www-form-urlencoded-parameters",
        "POST /",
        &[("Content-Type", "application/x-www-form-urlencoded; charset=utf8")],
        "Param1=value1",
        "content-type;host;x-amz-date",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    ),
];

fn hashed(body: &str) -> String {
    hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref())
}

#[test]
fn signatures_are_those_of_awss_test_suite() {
    for (name, line, further, body, names, signature) in VECTORS {
        let (method, target) = line.split_once(' ').unwrap();
        let mut headers = Headers::default();
        let usual = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")];
        for (name, value) in usual.iter().chain(*further) {
            headers.add(name.to_ascii_lowercase().into_bytes(), value.as_bytes());
        }
        let canonical = canonical(method.as_bytes(), target.as_bytes(), &headers, &hashed(body));
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        );
        assert_eq!(authorization(&account("service"), &date(MOMENT), &canonical), expected, "{name}");
    }
}

#[test]
fn characters_that_need_no_encoding_are_not_encoded() {
    let unreserved = UNRESERVED_TEXT.as_bytes();
    assert_eq!(canonical_path(&[b"/", unreserved].concat()), format!("/{UNRESERVED_TEXT}"));
    assert_eq!(
        canonical_query(&[unreserved, b"=", unreserved].concat()),
        format!("{UNRESERVED_TEXT}={UNRESERVED_TEXT}")
    );
    assert_eq!(canonical_query(b"b=2&a=%2f&a=%20&c&&b=+"), "a=%20&a=%2F&b=%2B&b=2&c=");
}

/// The head that is sent, with what signing wrote behind it.
fn signed(account: &AwsAccount, head: &str, payload: &str) -> String {
    let mut bytes = head.as_bytes().to_vec();
    sign(account, &mut bytes, payload, MOMENT);
    String::from_utf8(bytes).unwrap()[head.len()..].to_string()
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let head = |target: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nhost: bedrock-runtime.us-east-1.amazonaws.com\r\ncontent-type: a\r\nx-b: c\r\n"
        )
    };
    let lines = |names: &str, signature: &str| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
             SignedHeaders={names}, Signature={signature}\r\n"
        )
    };
    let body = hashed("{\"messages\":[]}");
    // Computed by a second implementation, in Python, that agrees with AWS's test suite. The path is encoded twice.
    let cases = [
        (
            "/model/anthropic.claude-v2%3A1/converse",
            "8bd230fa414d3c9cb54f9fe54d1b5906733386540147967fad4657a173a7202c",
        ),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream",
            "ff8a739b55232508ccf4f5f312ec40a4110674f2938ea58252fa5a26797d6bf8",
        ),
    ];
    for (target, signature) in cases {
        let expected = format!("x-amz-date: 20150830T123600Z\r\n{}", lines(PLAIN, signature));
        assert_eq!(signed(&account("bedrock"), &head(target), &body), expected, "{target}");
    }
    let other = signed(&account("bedrock"), &head(cases[0].0), &hashed("{\"messages\":[] }"));
    assert!(!other.contains(cases[0].1), "the body is signed");

    let token = AwsAccount { session_token: Some(Secret::new(TOKEN.into())), ..account("service") };
    let vanilla = "POST / HTTP/1.1\r\nhost: example.amazonaws.com\r\n";
    let written = signed(&token, vanilla, &hashed(""));
    let start = format!("x-amz-date: 20150830T123600Z\r\nx-amz-security-token: {TOKEN}\r\nauthorization: ");
    assert!(written.starts_with(&start), "{written}");
    let end = "=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead\r\n";
    assert!(written.ends_with(end), "{written}");
    let names: Vec<_> = written.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert!(names.iter().all(|name| SIGNATURE_HEADERS.contains(name)), "{names:?}");

    let unsigned = format!("{vanilla}x-amz-content-sha256: {UNSIGNED_PAYLOAD}\r\n");
    let written = signed(&account("service"), &unsigned, UNSIGNED_PAYLOAD);
    let end = "SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
               Signature=05e1b307416f2cbcf15dd86269efd55537182ee4416101af58762e96bba470bb\r\n";
    assert!(written.ends_with(end), "{written}");
}

#[test]
fn a_path_is_sent_encoded_once() {
    let cases = [
        ("/model/a:b/converse", "/model/a%3Ab/converse"),
        ("/model/a%3ab%2Fc/converse", "/model/a%3Ab%2Fc/converse"),
        ("/a b/\u{e9}/", "/a%20b/%C3%A9/"),
        ("/", "/"),
    ];
    for (path, expected) in cases {
        assert_eq!(wire_path(path), expected);
        assert_eq!(wire_path(expected), expected, "once is enough");
    }
}

#[tokio::test]
async fn a_hash_does_not_depend_on_the_pieces() {
    let text = "0123456789abcdef".repeat(50_000);
    let body = Bytes::from(text.clone());
    let pieces = [body.slice(..7), body.slice(7..300_000), body.slice(300_000..)];
    assert_eq!(hash(&pieces).await, hashed(&text));
    assert_eq!(hash(&[]).await, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
