//! `a6 plugin list|get`: what plugins the gateway has, in the order in which they run, and their schemas.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::client::escape;
use crate::command_line::PluginVerb;
use crate::errors::{Failure, Result};
use crate::output::{self, Format};
use crate::session::Session;
use crate::table;

const PLUGINS: &str = "/apisix/admin/plugins";

/// Carries out one of the plugin commands.
pub(crate) fn run(session: &mut Session<'_>, verb: PluginVerb) -> Result<()> {
    match verb {
        PluginVerb::List { subsystem } => list(session, subsystem),
        PluginVerb::Get { name } => get(session, &name),
    }
}

fn list(session: &mut Session<'_>, subsystem: String) -> Result<()> {
    let format = output::list_format(session)?;
    let query = [("subsystem", subsystem)];
    let answer = session.client()?.json(Method::GET, &format!("{PLUGINS}/list"), &query, None)?;
    let names: Vec<String> = match answer {
        // An empty Lua table may come as an object.
        Value::Object(none) if none.is_empty() => Vec::new(),
        other => serde_json::from_value(other).map_err(|_| {
            Failure::new("failed to parse response: the list of plugins must be an array of names")
        })?,
    };
    let text = if format != Format::Table {
        output::render(&json!(names), format)?
    } else if names.is_empty() {
        "No plugins found.\n".to_owned()
    } else {
        let rows: Vec<Vec<String>> = names.into_iter().map(|name| vec![name]).collect();
        table::render(&["NAME"], &rows)
    };
    Ok(write!(session.output, "{text}")?)
}

/// The schema as the server has it; JSON for a person too, since that is what a schema is written in.
fn get(session: &mut Session<'_>, name: &str) -> Result<()> {
    let format = match output::requested(session)? {
        None => Format::Json,
        Some(Format::Table) => return Err(output::unsupported("table")),
        Some(format) => format,
    };
    let path = format!("{PLUGINS}/{}", escape(name));
    let mut schema = session.client()?.json(Method::GET, &path, &[], None).map_err(|failure| {
        if failure.status() == Some(404) {
            failure.with_hint("`a6 plugin list` shows the names")
        } else {
            failure
        }
    })?;
    schema.sort_all_objects();
    let text = output::render(&schema, format)?;
    Ok(write!(session.output, "{text}")?)
}

#[cfg(test)]
mod tests {
    use crate::testing::{ScriptedServer, Shell};

    #[test]
    fn plugins_are_listed_in_the_order_of_the_server() {
        let cases: [(&[&str], bool, &str, &str, &str); 4] = [
            (&["plugin", "ls"], true, r#"["b","a"]"#, "NAME\nb\na\n", "?subsystem=http"),
            (&["plugin", "list"], false, r#"["b","a"]"#, "[\n  \"b\",\n  \"a\"\n]\n", "?subsystem=http"),
            (&["plugin", "list", "-o", "table"], false, "[]", "No plugins found.\n", "?subsystem=http"),
            (&["plugin", "list", "--subsystem", "stream"], false, "{}", "[]\n", "?subsystem=stream"),
        ];
        for (arguments, terminal, answer, expected, query) in cases {
            let server = ScriptedServer::start(&[(200, answer)]);
            let mut shell = Shell::with_server(&server);
            if terminal {
                shell = shell.on_a_terminal("");
            }
            let ended = shell.run(arguments);
            assert_eq!((ended.output.as_str(), ended.errors.as_str()), (expected, ""), "{arguments:?}");
            assert_eq!(server.asked()[0].line, format!("GET /apisix/admin/plugins/list{query}"));
        }
    }

    #[test]
    fn a_schema_is_json_also_for_a_person() {
        let answers = [(200, r#"{"type":"object","a":{"y":1,"x":2}}"#), (404, "{}"), (200, "{}")];
        let server = ScriptedServer::start(&answers);
        let shell = Shell::with_server(&server).on_a_terminal("");
        let json = "{\n  \"a\": {\n    \"x\": 2,\n    \"y\": 1\n  },\n  \"type\": \"object\"\n}\n";
        assert_eq!(shell.run(&["plugin", "get", "a/b"]).output, json);
        assert_eq!(
            shell.run(&["plugin", "get", "none"]).errors,
            "resource not found\nhint: `a6 plugin list` shows the names\n"
        );
        assert_eq!(shell.run(&["plugin", "get", "x", "-o", "yaml"]).output, "{}\n");
        assert_eq!(server.asked()[0].line, "GET /apisix/admin/plugins/a%2Fb");
    }
}
