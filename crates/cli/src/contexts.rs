//! Contexts: gateways known by name, in the a6 tool's `config.yaml` (`current-context`, and `contexts` with `name`,
//! `server` and `api-key`), and the rule by which flags, environment and contexts decide where a command goes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Deserializer, Serialize};

use crate::command_line::GlobalFlags;
use crate::errors::{Failure, Result, system_text};
use crate::session::{Env, process_env};
use crate::yaml;

/// The file that holds the contexts: `config.yaml` in `A6_CONFIG_DIR`, else in `a6` under `XDG_CONFIG_HOME`, else in
/// `.config/a6` under `HOME` or, without one, under the working directory.
pub fn config_path() -> PathBuf {
    path(&process_env)
}

/// Saves a gateway as context `name` and makes it current, unless there is a context already. True when it was saved.
/// Fails when the file cannot be read, is not a file of contexts, or cannot be written.
pub fn register_if_none(name: &str, server: &str, key: &str) -> io::Result<bool> {
    register_at(&config_path(), name, server, key).map_err(io::Error::other)
}

fn register_at(path: &Path, name: &str, server: &str, key: &str) -> Result<bool> {
    if !Contexts::load(path)?.contexts.is_empty() {
        return Ok(false);
    }
    let _lock = Contexts::lock(path)?;
    let mut contexts = Contexts::load(path)?;
    if !contexts.contexts.is_empty() {
        return Ok(false);
    }
    contexts.current = name.to_owned();
    contexts.contexts.push(Context {
        name: name.to_owned(),
        server: server.to_owned(),
        api_key: key.to_owned(),
    });
    contexts.save(path)?;
    Ok(true)
}

/// The file of contexts in this environment.
pub(crate) fn path(env: Env<'_>) -> PathBuf {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("A6_CONFIG_DIR")
        .or_else(|| set("XDG_CONFIG_HOME").map(|folder| folder.join("a6")))
        .unwrap_or_else(|| set("HOME").unwrap_or_else(|| PathBuf::from(".")).join(".config/a6"))
        .join("config.yaml")
}

/// The content of the file. Has no Debug: it holds keys.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Contexts {
    /// Name of the current context; empty when there is none.
    #[serde(rename = "current-context", default, deserialize_with = "null_is_default")]
    pub(crate) current: String,
    /// All contexts, in the order in which they were created.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) contexts: Vec<Context>,
}

/// One gateway.
#[derive(Serialize, Deserialize)]
pub(crate) struct Context {
    /// The name the user gave it.
    pub(crate) name: String,
    /// Address of its Admin API.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) server: String,
    /// Key for its Admin API; empty when the context has none.
    #[serde(
        rename = "api-key",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) api_key: String,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Contexts {
    /// Reads the file; a missing or empty one holds no contexts.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(error) => {
                let why = system_text(&error);
                return Err(Failure::new(format!("failed to read config file: {}: {why}", path.display())));
            }
        };
        if text.trim().is_empty() {
            return Ok(Contexts::default());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
            let why = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            Failure::new(format!("failed to parse config file: {}: {why}", path.display()))
                .with_hint("correct the file, or move it away and create the contexts anew")
        })
    }

    /// Lets nobody else change the file as long as what is returned lives: of two commands at once one would get lost.
    pub(crate) fn lock(path: &Path) -> Result<File> {
        make_folder(path)?;
        let lock = path.with_extension("yaml.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        file.and_then(|file| file.lock().map(|()| file)).map_err(|error| {
            Failure::new(format!("failed to write config file: {}: {}", lock.display(), system_text(&error)))
        })
    }

    /// Replaces the file in one step, readable by its owner only.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let value = serde_json::to_value(self)
            .map_err(|error| Failure::new(format!("failed to write config file: {error}")))?;
        let text = yaml::render(&value)?;
        make_folder(path)?;
        // A link to a file elsewhere stays a link.
        let file = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let temporary = file.with_extension(format!("yaml.{}", process::id()));
        write_private(&temporary, &text).and_then(|()| fs::rename(&temporary, &file)).map_err(|error| {
            // What could not be written may not exist either; the first error is the one to report.
            let _ = fs::remove_file(&temporary);
            Failure::new(format!("failed to write config file: {}: {}", file.display(), system_text(&error)))
        })
    }

    /// The context of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name == name)
    }
}

fn make_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| {
        let why = system_text(&error);
        Failure::new(format!("failed to create config directory: {}: {why}", folder.display()))
    })
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The failure for a context that does not exist.
pub(crate) fn not_found(name: &str) -> Failure {
    Failure::new(format!("context {name:?} not found")).with_hint("`a6 context list` shows the names")
}

/// Where a command goes. Has no Debug: it holds a key.
pub(crate) struct Target {
    /// Address of the Admin API.
    pub(crate) server: String,
    /// The key it asks for.
    pub(crate) api_key: String,
}

/// Server and key, each decided by itself: flag, then environment, then current context. A context named with
/// `--context` comes before the environment, because a name typed now must not lead to another gateway. The file is read
/// only when it is needed.
pub(crate) fn target(flags: &GlobalFlags, env: Env<'_>) -> Result<Target> {
    let (server, api_key) = decided(flags, env)?;
    let api_key = api_key
        .ok_or_else(|| Failure::new("no API key configured; use 'a6 context create' or set A6_API_KEY"))?;
    Ok(Target { server: server.ok_or_else(no_server)?, api_key })
}

/// The same for what needs no key: only the server.
pub(crate) fn server(flags: &GlobalFlags, env: Env<'_>) -> Result<String> {
    decided(flags, env)?.0.ok_or_else(no_server)
}

fn no_server() -> Failure {
    Failure::new("no server configured; use 'a6 context create' or set A6_SERVER")
}

/// Server and key, where there are any.
fn decided(flags: &GlobalFlags, env: Env<'_>) -> Result<(Option<String>, Option<String>)> {
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let (flag_server, flag_key) = (given(flags.server.clone()), given(flags.api_key.clone()));
    let (env_server, env_key) = (given(env("A6_SERVER")), given(env("A6_API_KEY")));
    let named = flags.context.as_deref().filter(|name| !name.is_empty());
    let complete = flag_server.as_ref().or(env_server.as_ref()).is_some()
        && flag_key.as_ref().or(env_key.as_ref()).is_some();
    let (mut context_server, mut context_key) = (None, None);
    if named.is_some() || !complete {
        let contexts = Contexts::load(&path(env))?;
        let context = contexts.find(named.unwrap_or(&contexts.current));
        if let (None, Some(name)) = (context, named) {
            return Err(not_found(name));
        }
        context_server = given(context.map(|context| context.server.clone()));
        context_key = given(context.map(|context| context.api_key.clone()));
    }
    let decide = |flag: Option<String>, env: Option<String>, context: Option<String>| {
        if named.is_some() { flag.or(context).or(env) } else { flag.or(env).or(context) }
    };
    let api_key = decide(flag_key, env_key, context_key);
    Ok((decide(flag_server, env_server, context_server), api_key))
}

#[cfg(test)]
mod tests;
