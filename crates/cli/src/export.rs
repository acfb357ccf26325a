//! `export`: all objects of a kind, or those with a label, as an array without times, for `create` elsewhere.

use std::fs;

use serde_json::Value;

use crate::bulk;
use crate::errors::{Failure, Result, system_text};
use crate::kinds::Place;
use crate::output::{self, Format};
use crate::resource::{Label, TIMES};
use crate::session::Session;

/// Writes them to `file`, or to standard output. Without any objects there is no output and no file.
pub(crate) fn run(
    session: &mut Session<'_>,
    place: Place<'_>,
    label: Option<&str>,
    file: Option<&str>,
) -> Result<()> {
    let format = match output::requested(session)? {
        None => Format::Yaml,
        Some(Format::Table) => return Err(output::unsupported("table")),
        Some(format) => format,
    };
    let items = bulk::all(&session.client()?, place, label.map(Label::parse).as_ref())?;
    if items.is_empty() {
        return Ok(writeln!(session.errors, "No {} found.", place.kind.plural)?);
    }
    let objects = items.into_iter().map(|item| {
        let mut object = item.object;
        for time in TIMES {
            object.shift_remove(time);
        }
        output::arrange(object, place.kind.shape)
    });
    let text = output::render(&Value::Array(objects.collect()), format)?;
    match file {
        None => Ok(write!(session.output, "{text}")?),
        Some(path) => fs::write(path, text).map_err(|error| {
            Failure::new(format!("failed to create file: open {path}: {}", system_text(&error)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::testing::{ScriptedServer, Shell};

    const TWO: &str = r#"{"total":2,"list":[
        {"key":"/apisix/protos/1","value":{"id":"1","content":"a","create_time":1,"update_time":2,"labels":{"env":"dev"}}},
        {"key":"/apisix/protos/2","value":{"id":"2","content":"b","extra":[1],"labels":{"env":"prod"}}}]}"#;
    const NONE: &str = r#"{"total":0,"list":[]}"#;

    #[test]
    fn what_is_exported_has_all_but_the_times() {
        let yaml = "- id: \"1\"\n  content: a\n  labels:\n    env: dev\n- id: \"2\"\n  content: b\n  labels:\n    env: prod\n  extra:\n    - 1\n";
        let server = ScriptedServer::start(&[(200, TWO), (200, TWO), (200, NONE)]);
        let shell = Shell::with_server(&server);
        assert_eq!(shell.run(&["proto", "export"]).output, yaml);
        let second = shell.run(&["proto", "export", "--label", "env=prod", "-o", "json"]).output;
        assert!(second.starts_with("[\n  {\n    \"id\": \"2\","), "{second}");
        let none = shell.run(&["proto", "export", "--label", "env=none"]);
        assert_eq!((none.succeeded, none.output.as_str()), (true, ""));
        assert_eq!(none.errors, "No proto definitions found.\n");
        let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
        assert_eq!(lines[0], "GET /apisix/admin/protos?page=1&page_size=500");
        assert_eq!(lines[1], "GET /apisix/admin/protos?label=env&page=1&page_size=500");
    }

    #[test]
    fn a_file_is_written_only_when_there_is_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.yaml");
        let file = path.to_str().unwrap();
        let server = ScriptedServer::start(&[(200, NONE), (200, TWO), (200, TWO)]);
        let shell = Shell::with_server(&server);
        shell.run(&["proto", "export", "-f", file]);
        assert!(!path.exists());
        assert_eq!(shell.run(&["proto", "export", "-f", file]).output, "");
        assert!(fs::read_to_string(&path).unwrap().starts_with("- id: \"1\"\n"));
        let folder = folder.path().to_str().unwrap();
        let failed = shell.run(&["proto", "export", "-f", folder]).errors;
        assert_eq!(failed, format!("failed to create file: open {folder}: is a directory\n"));
        assert_eq!(
            shell.run(&["proto", "export", "-o", "table"]).errors,
            "unsupported output format: table\n"
        );
    }
}
