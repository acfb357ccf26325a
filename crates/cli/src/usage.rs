//! clap's errors in the words and exit codes of the a6 tool: help goes to stdout with exit code 0, every misuse is one
//! message on stderr with exit code 1.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::kinds;

/// Prints what a failed parse means to the user: asked-for help on stdout (exit code 0), an error on stderr (exit code 1).
pub fn report_usage_error(error: &clap::Error) -> ExitCode {
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    // A closed stream leaves nobody to tell; the exit code is what remains.
    if help {
        let _ = write!(io::stdout(), "{}", error.render());
        ExitCode::SUCCESS
    } else {
        let _ = writeln!(io::stderr(), "{}", usage_text(error));
        ExitCode::FAILURE
    }
}

fn usage_text(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg);
    let value = context(error, ContextKind::InvalidValue);
    let flag = argument.split([' ', '=', '[']).next().unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(error),
        ErrorKind::UnknownArgument if argument.starts_with("--") => format!("unknown flag: {flag}"),
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let letter = argument.chars().nth(1).unwrap_or('-');
            format!("unknown shorthand flag: '{letter}' in {argument}")
        }
        ErrorKind::UnknownArgument => unexpected(error, &argument),
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {flag}"),
        ErrorKind::InvalidValue => {
            let known = context(error, ContextKind::ValidValue);
            format!("invalid argument {value:?} for {flag:?} flag: it is none of {known}")
        }
        ErrorKind::ValueValidation => {
            format!("invalid argument {value:?} for {flag:?} flag: {}", reason(error))
        }
        ErrorKind::MissingRequiredArgument if argument.starts_with('<') => {
            "accepts 1 arg(s), received 0".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            format!("required flag(s) {:?} not set", flag.trim_start_matches('-'))
        }
        _ => error.render().to_string().trim_start_matches("error: ").trim_end().to_owned(),
    }
}

/// An argument too many. A command with arguments of its own takes one at most; what comes behind the first one too many is
/// not known, and not counted.
fn unexpected(error: &clap::Error, argument: &str) -> String {
    let usage = context(error, ContextKind::Usage);
    let mut words = usage.split_whitespace().skip_while(|word| *word == "Usage:");
    let mut own = None;
    while let Some(word) = words.next() {
        if word.starts_with('-') && !word.contains('=') {
            // What follows is the flag's value, if it has one; ids are not behind flags in a usage line.
            let mut rest = words.clone();
            if rest.next().is_some_and(|value| value.starts_with('<')) {
                words = rest;
            }
        } else if word.starts_with(['<', '[']) && !matches!(word, "[OPTIONS]" | "<COMMAND>") {
            own = own.or(Some(word));
        }
    }
    match own {
        None => format!("unknown command {argument:?} for {:?}", command(error)),
        Some(own) if own.starts_with('<') => "accepts 1 arg(s), received 2".to_owned(),
        Some(_) => "accepts at most 1 arg(s), received 2".to_owned(),
    }
}

fn unknown_command(error: &clap::Error) -> String {
    let word = context(error, ContextKind::InvalidSubcommand);
    let mut text = format!("unknown command {word:?} for {:?}", command(error));
    let near: Vec<&String> = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(near)) => {
            near.iter().filter(|name| is_near(word.as_str(), name)).collect()
        }
        _ => Vec::new(),
    };
    if !near.is_empty() {
        text.push_str("\n\nDid you mean this?");
    }
    for name in near {
        text.push_str("\n\t");
        text.push_str(name);
    }
    text
}

/// Whether the a6 tool would suggest it: two letters away or less, or the word's continuation. Of the several words for a
/// kind only the first is suggested.
fn is_near(word: &str, name: &str) -> bool {
    !kinds::is_alias(name) && (strsim::levenshtein(word, name) <= 2 || name.starts_with(word))
}

/// The command in which the error happened: the words of the usage line up to the first placeholder.
fn command(error: &clap::Error) -> String {
    let usage = context(error, ContextKind::Usage);
    let words: Vec<&str> = usage
        .split_whitespace()
        .skip_while(|word| *word == "Usage:")
        .take_while(|word| !word.starts_with(['<', '[', '-']))
        .collect();
    if words.is_empty() { "a6".to_owned() } else { words.join(" ") }
}

fn reason(error: &clap::Error) -> String {
    std::error::Error::source(error).map_or_else(|| "invalid value".to_owned(), ToString::to_string)
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    error.get(kind).map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::testing::CommandLine;

    #[test]
    fn misuse_reads_as_the_a6_tool_writes_it() {
        let cases: [(&[&str], &str); 13] = [
            (&["rout"], "unknown command \"rout\" for \"a6\"\n\nDid you mean this?\n\troute"),
            (
                &["route", "creat"],
                "unknown command \"creat\" for \"a6 route\"\n\nDid you mean this?\n\tcreate",
            ),
            (&["service", "list", "--uri", "/x"], "unknown flag: --uri"),
            (&["route", "list", "-x"], "unknown shorthand flag: 'x' in -x"),
            (&["route", "create", "-f"], "flag needs an argument: --file"),
            (
                &["route", "list", "--page", "two"],
                "invalid argument \"two\" for \"--page\" flag: invalid digit found in string",
            ),
            (&["context", "use"], "accepts 1 arg(s), received 0"),
            (&["route", "get", "1", "2"], "accepts at most 1 arg(s), received 2"),
            (&["context", "use", "a", "b"], "accepts 1 arg(s), received 2"),
            (&["route", "list", "x"], "unknown command \"x\" for \"a6 route list\""),
            (&["route", "list", "--page", "2", "x"], "unknown command \"x\" for \"a6 route list\""),
            (
                &["route", "delete", "1", "--force=maybe"],
                "invalid argument \"maybe\" for \"--force\" flag: it is neither true nor false",
            ),
            (
                &["debug", "logs", "--type", "x"],
                "invalid argument \"x\" for \"--type\" flag: it is none of all, access, error, requests",
            ),
        ];
        for (arguments, expected) in cases {
            let line = ["a6"].iter().chain(arguments);
            let error = CommandLine::try_parse_from(line).unwrap_err();
            assert_eq!(usage_text(&error), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_bare_group_prints_its_help() {
        let error = CommandLine::try_parse_from(["a6", "route"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        assert!(error.render().to_string().contains("Create a route from a file"));
    }

    #[test]
    fn flags_count_wherever_they_stand_and_the_last_one_wins() {
        for (flag, expected) in [("--force", true), ("--force=1", true), ("--force=false", false)] {
            for arguments in [["a6", flag, "route", "delete", "1"], ["a6", "route", "delete", "1", flag]] {
                let parsed = CommandLine::try_parse_from(arguments).unwrap();
                assert_eq!(parsed.flags.force, expected, "{arguments:?}");
            }
        }
        let key = CommandLine::try_parse_from(["a6", "--api-key", "-k", "route", "list"]).unwrap();
        assert_eq!(key.flags.api_key.as_deref(), Some("-k"));
        let cases: [&[&str]; 3] = [
            &["a6", "-o", "json", "route", "list"],
            &["a6", "route", "-ojson", "list"],
            &["a6", "route", "list", "-o", "yaml", "--output=json"],
        ];
        for arguments in cases {
            let parsed = CommandLine::try_parse_from(arguments).unwrap();
            assert_eq!(parsed.flags.output.as_deref(), Some("json"), "{arguments:?}");
        }
    }
}
