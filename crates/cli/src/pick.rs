//! A list to choose from, on a terminal, where a command names no id.

use inquire::{InquireError, Select};
use ureq::http::Method;

use crate::errors::{Failure, Result};
use crate::kinds::{Item, Place};
use crate::resource;
use crate::session::Session;
use crate::table;

/// Fewest and most lines of the list that are shown at once.
const FEWEST: usize = 4;
const MOST: usize = 18;

/// The picker of a real terminal: arrow keys, typing filters, Ctrl-C and Escape cancel. It draws on stderr.
pub(crate) fn on_terminal(title: &str, lines: Vec<String>) -> Result<usize> {
    let height = lines.len().clamp(FEWEST, MOST);
    match Select::new(title, lines).with_page_size(height).raw_prompt() {
        Ok(chosen) => Ok(chosen.index),
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => {
            Err(Failure::new("selection canceled"))
        }
        Err(error) => Err(Failure::new(format!("interactive selection failed: {error}"))),
    }
}

/// The given id, or the one that a person picks; a failure where there is neither.
pub(crate) fn id(session: &Session<'_>, place: Place<'_>, id: Option<String>) -> Result<String> {
    let kind = place.kind;
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        return Ok(id);
    }
    let Some(line) = kind.pick.filter(|_| session.input_is_terminal) else {
        let what = format!("{} argument is required", kind.id_name);
        return Err(match kind.pick {
            Some(_) => Failure::new(format!("{what} (or run interactively in a terminal)"))
                .with_hint(format!("`a6 {} list -o table` shows them", kind.command)),
            None => Failure::new(what),
        });
    };
    let answer = session.client()?.json(Method::GET, &place.collection(), &[], None);
    let items = answer.and_then(|answer| resource::items(kind, &answer));
    let items = items.map_err(|failure| failure.within(&format!("failed to fetch {}", kind.plural)))?;
    let items: Vec<Item> = items.into_iter().filter(|item| !item.id.is_empty()).collect();
    if items.is_empty() {
        return Err(Failure::new(format!("no {} found", kind.plural)));
    }
    let lines = items.iter().map(|item| table::one_line(&line(item))).collect();
    let chosen = (session.picker)(&format!("Select {}", kind.one), lines)?;
    let item = items.into_iter().nth(chosen);
    item.map(|item| item.id).ok_or_else(|| Failure::new("interactive selection failed: no such line"))
}
