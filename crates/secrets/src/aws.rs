use a6_core::Secret;
use a6_snapshot::AwsAccount;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Ask, Client, Place, Reply};
use crate::manager::{Conf, Content};

const SERVICE: &str = "secretsmanager";
const TARGET: &str = "secretsmanager.GetSecretValue";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Where no region is named: APISIX's.
const REGION: &str = "us-east-1";

/// Reads the text of a secret of AWS Secrets Manager (`GetSecretValue`).
///
/// # Errors
/// It cannot be read; the text names the host and the cause.
pub(crate) async fn fetch(conf: &Conf, path: &str, client: &Client, now: u64) -> Result<Content, String> {
    let region = conf.text("region").unwrap_or(REGION);
    let place = match conf.text("endpoint_url") {
        Some(url) => Place::parse("endpoint_url", url, true)?,
        None => Place::parse("region", &endpoint(region), true)?,
    };
    let host = place.host.clone();
    let account = AwsAccount {
        access_key_id: conf.required("access_key_id")?.into(),
        secret_access_key: Secret::new(conf.secret("secret_access_key")?.expose().as_str().into()),
        session_token: conf.text("session_token").map(|token| Secret::new(token.into())),
        region: region.into(),
        service: SERVICE.into(),
    };
    let body = Secret::new(json!({ "SecretId": path }).to_string());
    let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
    let headers = headers.map(|(name, value)| (name, Secret::new(value.to_string()))).into();
    let signer = Some((account, now));
    let reply = client.send(Ask { method: Method::POST, place, headers, body, signer }).await?;
    match reply.status {
        StatusCode::OK => read(&reply).ok_or_else(|| {
            format!("{host} answered without a SecretString; a secret of bytes (SecretBinary) cannot be used")
        }),
        status => Err(format!("{host} answered {status}{}", cause(&reply))),
    }
}

/// AWS's own endpoint of a region.
fn endpoint(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{SERVICE}.{region}.{domain}/")
}

fn read(reply: &Reply) -> Option<Content> {
    let answer: Value = serde_json::from_slice(reply.body.expose()).ok()?;
    answer.get("SecretString").and_then(Value::as_str).map(|text| Content::Text(text.to_string()))
}

/// The name of AWS's exception. Its message is left out, since it may repeat the request.
fn cause(reply: &Reply) -> String {
    let answer: Value = serde_json::from_slice(reply.body.expose()).unwrap_or_default();
    let name = answer.get("__type").and_then(Value::as_str).unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    let is_name =
        !name.is_empty() && name.len() < 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_name { format!(": {name}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_endpoints() {
        let cases = [
            ("eu-west-1", "https://secretsmanager.eu-west-1.amazonaws.com/"),
            ("cn-north-1", "https://secretsmanager.cn-north-1.amazonaws.com.cn/"),
        ];
        for (region, expected) in cases {
            assert_eq!(endpoint(region), expected);
        }
    }

    #[test]
    fn only_the_name_of_an_exception_is_told() {
        let cases = [
            (json!({"__type": "ResourceNotFoundException", "Message": "no"}), ": ResourceNotFoundException"),
            (json!({"__type": "com.amazon#AccessDeniedException"}), ": AccessDeniedException"),
            (json!({"__type": "a b"}), ""),
            (json!({"message": "AKIA"}), ""),
        ];
        for (answer, expected) in cases {
            let body = Secret::new(answer.to_string().into_bytes());
            assert_eq!(cause(&Reply { status: StatusCode::BAD_REQUEST, body }), expected, "{answer}");
        }
    }
}
