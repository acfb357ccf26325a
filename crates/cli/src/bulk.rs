//! `delete --all` and `delete --label`: first all ids, then one question, then one deletion after the other. The first
//! failure ends it; what is deleted by then has been said line by line.

use serde_json::Value;
use ureq::http::Method;

use crate::client::Client;
use crate::errors::Result;
use crate::kinds::{self, Kind};
use crate::resource::{self, Label};
use crate::session::Session;

/// The largest page the Admin API gives.
const PAGE: u64 = 500;

/// Deletes every object of the kind, or those with the label.
pub(crate) fn delete(session: &mut Session<'_>, kind: &Kind, label: Option<&Label>) -> Result<()> {
    let client = session.client()?;
    let ids = ids(&client, kind, label)?;
    if ids.is_empty() {
        return Ok(writeln!(session.errors, "No {} found.", kind.plural)?);
    }
    if !session.confirm(&format!("Delete {} {}?", ids.len(), kind.plural))? {
        return Ok(());
    }
    for id in &ids {
        resource::delete_one(session, &client, kind, id)?;
    }
    Ok(writeln!(session.output, "✓ {} {} deleted.", ids.len(), kind.plural)?)
}

fn ids(client: &Client, kind: &Kind, label: Option<&Label>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for page in 1.. {
        let mut query = vec![("page", page.to_string()), ("page_size", PAGE.to_string())];
        if let Some(label) = label {
            query.push(("label", label.key.clone()));
        }
        let answer = client.json(Method::GET, kind.path, &query, None)?;
        let objects = resource::objects(&answer, label)?;
        ids.extend(objects.iter().filter_map(|object| object.get("id").and_then(kinds::scalar)));
        let total = answer.get("total").and_then(Value::as_u64).unwrap_or(0);
        if page * PAGE >= total {
            break;
        }
    }
    Ok(ids)
}
