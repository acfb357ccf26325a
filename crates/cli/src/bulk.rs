//! `delete --all` and `delete --label`: first all ids, then one question, then one deletion after the other. The first
//! failure ends it; what is deleted by then has been said line by line.

use serde_json::Value;
use ureq::http::Method;

use crate::client::Client;
use crate::errors::Result;
use crate::kinds::{Item, Place};
use crate::resource::{self, Label};
use crate::session::Session;

/// The largest page the Admin API gives.
const PAGE: u64 = 500;

/// Deletes every object of the kind, or those with the label.
pub(crate) fn delete(session: &mut Session<'_>, place: Place<'_>, label: Option<&Label>) -> Result<()> {
    let client = session.client()?;
    let ids: Vec<String> = all(&client, place, label)?.into_iter().map(|item| item.id).collect();
    let ids: Vec<String> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    let plural = place.kind.plural;
    if ids.is_empty() {
        return Ok(writeln!(session.errors, "No {plural} found.")?);
    }
    if !session.confirm(&format!("Delete {} {plural}?", ids.len()))? {
        return Ok(());
    }
    for (done, id) in ids.iter().enumerate() {
        resource::delete_one(session, &client, place, id).map_err(|failure| {
            let left = ids.len() - done;
            let hint = format!("{} {id} and the rest ({left} in all) are not deleted", place.kind.singular);
            failure.or_hint(hint)
        })?;
    }
    Ok(writeln!(session.output, "✓ {} {plural} deleted.", ids.len())?)
}

/// Every object at the place, or those with the label, page by page.
pub(crate) fn all(client: &Client, place: Place<'_>, label: Option<&Label>) -> Result<Vec<Item>> {
    let mut found = Vec::new();
    for page in 1.. {
        let mut query = vec![("page", page.to_string()), ("page_size", PAGE.to_string())];
        if let Some(label) = label {
            query.push(("label", label.key.clone()));
        }
        let answer = client.json(Method::GET, &place.collection(), &query, None)?;
        let items = resource::items(place.kind, &answer)?;
        let last = items.is_empty();
        found.extend(items.into_iter().filter(|item| label.is_none_or(|label| label.matches(&item.object))));
        let total = answer.get("total").and_then(Value::as_u64).unwrap_or(0);
        if last || page * PAGE >= total {
            break;
        }
    }
    Ok(found)
}
