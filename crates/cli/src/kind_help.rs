//! What the help of a kind's commands says below the flags: how a document is written, and lines to copy.

use crate::kinds::{Create, Kind, Update};

/// What an id is called in help.
pub(crate) fn id_words(kind: &Kind) -> &'static str {
    if kind.id_name == "id" { "ID" } else { kind.id_name }
}

/// The text after the flags of one command.
pub(crate) fn after(kind: &Kind, verb: &str) -> String {
    let owner = kind.owner.map(|owner| format!(" --{owner} jack")).unwrap_or_default();
    let line = |rest: &str| format!("a6 {} {verb}{owner}{rest}", kind.command);
    let (id, file) = (kind.example_id, format!("{}.yaml", kind.command));
    let examples: Vec<String> = match verb {
        "create" => {
            let argument = match kind.create {
                Create::PutByArgument(_) => format!(" {id}"),
                _ => String::new(),
            };
            vec![line(&format!("{argument} -f {file}")), line(&format!(" -f - <<'EOF'\n{}EOF", kind.example))]
        }
        "get" => vec![line(&format!(" {id}")), line(&format!(" {id} -o json"))],
        "list" => {
            let mut lines = vec![line("")];
            lines.extend(kind.filters.contains(&"label").then(|| line(" --label env=prod -o yaml")));
            lines
        }
        "update" => {
            let mut lines = vec![line(&format!(" {id} -f {file}"))];
            let change = || line(&format!(" {id} --merge -f - <<'EOF'\ndesc: changed\nEOF"));
            lines.extend(kind.shape.fields.contains(&"desc").then(change));
            lines
        }
        "delete" => {
            let mut lines = vec![line(&format!(" {id}"))];
            lines.extend(kind.has_bulk.then(|| line(" --label env=test --force")));
            lines
        }
        "export" => vec![line(&format!(" -f {file}")), line(" --label env=prod -o json")],
        _ => vec![line(&format!(" {id}"))],
    };
    let how = if verb == "update" { format!("{}\n\n", how_update_writes(kind)) } else { String::new() };
    // Flush left, so that a here-document copied from here ends where it should.
    format!("{how}Examples:\n\n{}", examples.join("\n\n"))
}

fn how_update_writes(kind: &Kind) -> String {
    match kind.update {
        Update::Merge => {
            "Only the members that the document has change; --replace lets it replace all.".to_owned()
        }
        Update::ReplaceWith([]) => {
            "The document replaces what is there; with --merge only the members that it has change."
                .to_owned()
        }
        Update::ReplaceWith(groups) => {
            let groups: Vec<String> = groups.iter().map(|names| names.join(" or ")).collect();
            format!(
                "A document with {} replaces what is there; of another only the members that it has change.",
                groups.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::by_command;

    #[test]
    fn help_teaches_by_example() {
        let cases = [
            ("credential", "list", "Examples:\n\na6 credential list --consumer jack"),
            (
                "secret",
                "create",
                "a6 secret create vault/main -f secret.yaml\n\na6 secret create -f - <<'EOF'\nid: vault/main\n",
            ),
            (
                "ssl",
                "update",
                "A document with sni or snis or type, cert, key replaces what is there; of another",
            ),
            ("consumer-group", "update", "Only the members that the document has change;"),
            ("route", "delete", "a6 route delete hello\n\na6 route delete --label env=test --force"),
        ];
        for (command, verb, expected) in cases {
            let text = after(by_command(command).unwrap(), verb);
            assert!(text.contains(expected), "{command} {verb}: {text}");
        }
    }
}
