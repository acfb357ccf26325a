//! `a6 completion SHELL` and what the printed script asks for while a person types: commands and flags from clap's own
//! tree, ids and names from the gateway and from the file of contexts. What cannot be had in two seconds is not offered;
//! completion never complains.

use std::env;
use std::time::Duration;

use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use serde_json::Value;
use ureq::http::Method;

use crate::client::Client;
use crate::command_line::GlobalFlags;
use crate::contexts::{self, Contexts};
use crate::errors::{Failure, Result};
use crate::kinds::{self, Kind, Place};
use crate::resource;
use crate::session::{Env, Session, process_env};

/// The variable by which a script asks; its own name, since a variable of another's must not turn commands into it.
const VARIABLE: &str = "A6_COMPLETE";

/// A person waits for the answer with a finger on the key.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shells there are scripts for.
pub(crate) const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// How to use the scripts.
pub(crate) const HELP: &str = "Examples:

source <(a6 completion bash)                          # in ~/.bashrc

source <(a6 completion zsh)                           # in ~/.zshrc, after compinit

a6 completion fish | source                           # in ~/.config/fish/config.fish

a6 completion powershell | Out-String | Invoke-Expression   # in $PROFILE";

/// Answers a script that asks for completions, and ends the process; returns at once when none asks. `command` is the
/// whole command line as the binary declares it.
pub fn complete_if_asked(command: fn() -> clap::Command) {
    CompleteEnv::with_factory(command).var(VARIABLE).bin("a6").complete();
}

/// Prints the script for a shell.
pub(crate) fn run(session: &mut Session<'_>, shell: &str) -> Result<()> {
    let shells = Shells::builtins();
    let script = shells.completer(shell).filter(|_| SHELLS.contains(&shell)).ok_or_else(|| {
        Failure::new(format!("invalid argument {shell:?} for \"a6 completion\""))
            .with_hint(format!("one of {}", SHELLS.join(", ")))
    })?;
    Ok(script.write_registration(VARIABLE, "a6", "a6", "a6", &mut *session.output)?)
}

/// Ids of the kind, on the gateway that the line so far names.
pub(crate) fn ids(kind: &'static Kind) -> Vec<CompletionCandidate> {
    candidates(found_ids(kind, &typed(), &process_env))
}

/// The same for the kind of this command word.
pub(crate) fn ids_of(command: &str) -> Vec<CompletionCandidate> {
    kinds::by_command(command).map(ids).unwrap_or_default()
}

/// Ids of the routes.
pub(crate) fn routes() -> Vec<CompletionCandidate> {
    ids_of("route")
}

/// Names of the consumers.
pub(crate) fn consumers() -> Vec<CompletionCandidate> {
    ids_of("consumer")
}

/// Names of the plugins.
pub(crate) fn plugins() -> Vec<CompletionCandidate> {
    let names = || {
        let answer =
            client(&typed(), &process_env)?.json(Method::GET, "/apisix/admin/plugins/list", &[], None);
        let names: Vec<String> = serde_json::from_value(answer.ok()?).ok()?;
        Some(names.into_iter().map(|name| (name, String::new())).collect())
    };
    candidates(names())
}

/// Names of the contexts.
pub(crate) fn contexts() -> Vec<CompletionCandidate> {
    let contexts = Contexts::load(&contexts::path(&process_env)).unwrap_or_default().contexts;
    candidates(Some(contexts.into_iter().map(|context| (context.name, context.server)).collect()))
}

/// The shells.
pub(crate) fn shells() -> Vec<CompletionCandidate> {
    candidates(Some(SHELLS.map(|name| (name.to_owned(), String::new())).into()))
}

/// Output formats.
pub(crate) fn formats() -> Vec<CompletionCandidate> {
    candidates(Some(["table", "json", "yaml"].map(|name| (name.to_owned(), String::new())).into()))
}

fn candidates(found: Option<Vec<(String, String)>>) -> Vec<CompletionCandidate> {
    let candidate = |(word, about): (String, String)| {
        CompletionCandidate::new(word).help((!about.is_empty()).then(|| about.into()))
    };
    found.unwrap_or_default().into_iter().map(candidate).collect()
}

/// The words of the line that is completed: the scripts give them after `--`.
fn typed() -> Vec<String> {
    let words = env::args_os().map(|word| word.to_string_lossy().into_owned());
    words.skip_while(|word| word != "--").skip(1).collect()
}

/// Ids and names of the first page; none where the gateway cannot be asked.
fn found_ids(kind: &'static Kind, words: &[String], env: Env<'_>) -> Option<Vec<(String, String)>> {
    let owner = match kind.owner {
        Some(flag) => Some(value_of(words, flag)?),
        None => None,
    };
    let path = Place { kind, owner: owner.as_deref() }.collection();
    let query = [("page", "1".to_owned()), ("page_size", "500".to_owned())];
    let answer = client(words, env)?.json(Method::GET, &path, &query, None).ok()?;
    let name = |object: &kinds::Object| object.get("name").and_then(Value::as_str).map(str::to_owned);
    let items = resource::items(kind, &answer).ok()?;
    Some(items.into_iter().map(|item| (item.id, name(&item.object).unwrap_or_default())).collect())
}

fn client(words: &[String], env: Env<'_>) -> Option<Client> {
    let flags = GlobalFlags {
        server: value_of(words, "server"),
        api_key: value_of(words, "api-key"),
        context: value_of(words, "context"),
        ..GlobalFlags::default()
    };
    Client::new(contexts::target(&flags, env).ok()?, PATIENCE, false, env).ok()
}

/// The value of a flag in an unfinished line: `--flag value` or `--flag=value`.
fn value_of(words: &[String], flag: &str) -> Option<String> {
    let flag = format!("--{flag}");
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix(&flag) {
            Some("") => return words.next().filter(|value| !value.is_empty()).cloned(),
            Some(rest) if rest.starts_with('=') => return rest.strip_prefix('=').map(str::to_owned),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ScriptedServer, Shell};

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn each_shell_has_a_script_that_asks_a6() {
        for shell in SHELLS {
            let ended = Shell::new().run(&["completion", shell]);
            assert!(ended.succeeded, "{shell}: {ended:?}");
            assert!(
                ended.output.contains(VARIABLE) && ended.output.contains("a6"),
                "{shell}: {}",
                ended.output
            );
        }
        assert_eq!(
            Shell::new().run(&["completion", "tcsh"]).errors,
            "invalid argument \"tcsh\" for \"a6 completion\"\nhint: one of bash, zsh, fish, powershell\n"
        );
    }

    #[test]
    fn ids_come_from_the_gateway_that_the_line_names() {
        let list = r#"{"total":2,"list":[{"key":"/apisix/x/1","value":{"id":"1","name":"first"}},{"key":"/x/2","value":{}}]}"#;
        let server = ScriptedServer::start(&[(200, list), (200, list), (401, "{}")]);
        let address = server.address.clone();
        let env = |name: &str| (name == "A6_API_KEY").then(|| "env-key".to_owned());
        let ids =
            |command: &str, line: &str| found_ids(kinds::by_command(command).unwrap(), &words(line), &env);
        let found = Some(vec![("1".to_owned(), "first".to_owned()), ("2".to_owned(), String::new())]);
        assert_eq!(ids("route", &format!("a6 route get --server {address} --api-key k ")), found);
        assert_eq!(
            ids("credential", &format!("a6 credential get --consumer=jack --server={address} ")),
            found
        );
        assert_eq!(ids("route", &format!("a6 route get --server {address} ")), None, "a refusal is not told");
        assert_eq!(ids("credential", "a6 credential get "), None, "nobody knows whose");
        assert_eq!(ids("route", "a6 route get "), None, "no server");
        let asked: Vec<(String, String)> =
            server.asked().into_iter().map(|asked| (asked.line, asked.key)).collect();
        let of = |path: &str| format!("GET /apisix/admin/{path}?page=1&page_size=500");
        assert_eq!(asked[0], (of("routes"), "k".to_owned()));
        assert_eq!(asked[1], (of("consumers/jack/credentials"), "env-key".to_owned()));
    }
}
