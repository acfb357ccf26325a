//! `a6 context create|use|list|delete|current`.

use serde_json::{Value, json};

use crate::command_line::ContextVerb;
use crate::contexts::{self, Context, Contexts};
use crate::errors::{Failure, Result};
use crate::output::{self, Format};
use crate::session::Session;
use crate::table;

/// Carries out one of the context commands.
pub(crate) fn run(session: &mut Session<'_>, verb: ContextVerb) -> Result<()> {
    match verb {
        ContextVerb::Create { name } => create(session, name),
        ContextVerb::Use { name } => switch(session, &name),
        ContextVerb::List => list(session),
        ContextVerb::Delete { name } => delete(session, &name),
        ContextVerb::Current => current(session),
    }
}

/// `--server` and `--api-key` are the global flags; without the first there is nothing to save.
fn create(session: &mut Session<'_>, name: String) -> Result<()> {
    let Some(server) = session.flags.server.clone() else {
        return Err(Failure::new("required flag(s) \"server\" not set"));
    };
    let path = contexts::path(session.env);
    let _lock = Contexts::lock(&path)?;
    let mut contexts = Contexts::load(&path)?;
    if contexts.find(&name).is_some() {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    let first = contexts.current.is_empty();
    if first {
        contexts.current.clone_from(&name);
    }
    let api_key = session.flags.api_key.clone().unwrap_or_default();
    contexts.contexts.push(Context { name: name.clone(), server, api_key });
    contexts.save(&path)?;
    writeln!(session.output, "✓ Context {name:?} created and saved.")?;
    if first {
        writeln!(session.output, "✓ Context {name:?} set as current context.")?;
    }
    Ok(())
}

fn switch(session: &mut Session<'_>, name: &str) -> Result<()> {
    let path = contexts::path(session.env);
    let _lock = Contexts::lock(&path)?;
    let mut contexts = Contexts::load(&path)?;
    if contexts.find(name).is_none() {
        return Err(contexts::not_found(name));
    }
    contexts.current = name.to_owned();
    contexts.save(&path)?;
    Ok(writeln!(session.output, "✓ Switched to context {name:?}.")?)
}

/// A table unless JSON or YAML is asked for, also into a pipe; never with keys.
fn list(session: &mut Session<'_>) -> Result<()> {
    let contexts = Contexts::load(&contexts::path(session.env))?;
    if contexts.contexts.is_empty() {
        let text = "No contexts configured. Use \"a6 context create\" to add one.";
        return Ok(writeln!(session.output, "{text}")?);
    }
    let is_current = |context: &Context| context.name == contexts.current;
    let text = match document_format(session) {
        Some(format) => {
            let items = contexts.contexts.iter().map(|context| {
                json!({"name": context.name, "server": context.server, "current": is_current(context)})
            });
            output::render(&Value::Array(items.collect()), format)?
        }
        None => {
            let row = |context: &Context| {
                let mark = if is_current(context) { "*" } else { "" };
                vec![context.name.clone(), context.server.clone(), mark.to_owned()]
            };
            let rows: Vec<Vec<String>> = contexts.contexts.iter().map(row).collect();
            table::render(&["NAME", "SERVER", "CURRENT"], &rows)
        }
    };
    Ok(write!(session.output, "{text}")?)
}

fn delete(session: &mut Session<'_>, name: &str) -> Result<()> {
    let path = contexts::path(session.env);
    let contexts = Contexts::load(&path)?;
    if contexts.find(name).is_none() {
        return Err(contexts::not_found(name));
    }
    let was_current = contexts.current == name;
    let question = format!("Context {name:?} is the current active context. Delete it?");
    if was_current && !session.confirm(&question)? {
        return Ok(());
    }
    // Somebody else may have changed it while a person thought.
    let _lock = Contexts::lock(&path)?;
    let mut contexts = Contexts::load(&path)?;
    contexts.contexts.retain(|context| context.name != name);
    if contexts.current == name {
        contexts.current = contexts.contexts.first().map(|next| next.name.clone()).unwrap_or_default();
    }
    contexts.save(&path)?;
    Ok(writeln!(session.output, "✓ Context {name:?} deleted.")?)
}

/// The bare name; as JSON or YAML also the server. Never the key.
fn current(session: &mut Session<'_>) -> Result<()> {
    let contexts = Contexts::load(&contexts::path(session.env))?;
    let named = session.flags.context.clone().filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| contexts.current.clone());
    if name.is_empty() {
        return Err(Failure::new("no current context configured; use \"a6 context create\" to add one"));
    }
    let Some(format) = document_format(session) else {
        return Ok(writeln!(session.output, "{name}")?);
    };
    let context = contexts.find(&name).ok_or_else(|| contexts::not_found(&name))?;
    let text = output::render(&json!({"name": context.name, "server": context.server}), format)?;
    Ok(write!(session.output, "{text}")?)
}

fn document_format(session: &Session<'_>) -> Option<Format> {
    match session.flags.output.as_deref() {
        Some("json") => Some(Format::Json),
        Some("yaml") => Some(Format::Yaml),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Shell;

    #[test]
    fn contexts_are_created_chosen_shown_and_deleted() {
        let shell = Shell::new();
        let create = |name: &str| {
            let server = format!("http://{name}:9180");
            shell.run(&["context", "create", name, "--server", &server, "--api-key", "secret"])
        };
        assert_eq!(shell.run(&["context", "list", "-o", "json"]).output, EMPTY);
        assert_eq!(
            shell.run(&["context", "current"]).errors,
            "no current context configured; use \"a6 context create\" to add one\n"
        );
        assert_eq!(
            create("dev").output,
            "✓ Context \"dev\" created and saved.\n✓ Context \"dev\" set as current context.\n"
        );
        assert_eq!(create("staging").output, "✓ Context \"staging\" created and saved.\n");
        assert_eq!(create("dev").errors, "context \"dev\" already exists\n");
        let steps: [(&[&str], &str); 8] = [
            (&["context", "use", "staging"], "✓ Switched to context \"staging\".\n"),
            (&["context", "current"], "staging\n"),
            (
                &["context", "current", "-o", "json"],
                "{\n  \"name\": \"staging\",\n  \"server\": \"http://staging:9180\"\n}\n",
            ),
            (&["context", "current", "--context", "dev"], "dev\n"),
            (
                &["context", "ls"],
                "NAME      SERVER                CURRENT\ndev       http://dev:9180       \n\
                 staging   http://staging:9180   *\n",
            ),
            (
                &["context", "list", "-o", "yaml"],
                "- name: dev\n  server: http://dev:9180\n  current: false\n\
                 - name: staging\n  server: http://staging:9180\n  current: true\n",
            ),
            (&["context", "delete", "staging", "--force"], "✓ Context \"staging\" deleted.\n"),
            (&["context", "current"], "dev\n"),
        ];
        for (arguments, expected) in steps {
            let ended = shell.run(arguments);
            assert_eq!((ended.output.as_str(), ended.errors.as_str()), (expected, ""), "{arguments:?}");
        }
    }

    const EMPTY: &str = "No contexts configured. Use \"a6 context create\" to add one.\n";

    #[test]
    fn misuse_changes_nothing() {
        let shell = Shell::new();
        assert_eq!(shell.run(&["context", "create", "x"]).errors, "required flag(s) \"server\" not set\n");
        for verb in ["use", "delete"] {
            let ended = shell.run(&["context", verb, "x"]);
            assert!(!ended.succeeded);
            assert_eq!(ended.errors, "context \"x\" not found\nhint: `a6 context list` shows the names\n");
        }
        assert_eq!(shell.run(&["context", "list"]).output, EMPTY);
    }

    #[test]
    fn deleting_the_current_context_asks_on_a_terminal() {
        let cases = [
            ("n\n", true, "(y/N): Aborted.\n", "x\n"),
            ("", false, "(y/N): failed to read confirmation: EOF\n", "x\n"),
            ("yes\n", true, "(y/N): ", ""),
        ];
        for (answer, succeeds, question_end, current) in cases {
            let shell = Shell::new();
            shell.run(&["context", "create", "x", "--server", "http://x"]);
            let terminal = shell.on_a_terminal(answer);
            let ended = terminal.run(&["context", "delete", "x"]);
            assert_eq!(ended.succeeded, succeeds, "{answer:?}");
            let question = "Context \"x\" is the current active context. Delete it? ";
            assert_eq!(ended.errors, format!("{question}{question_end}"), "{answer:?}");
            assert_eq!(terminal.run(&["context", "current"]).output, current, "{answer:?}");
        }
    }
}
