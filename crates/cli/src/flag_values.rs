//! Values of flags, in the forms that the a6 tool takes: a switch alone or with `=true`, a number with `0x`, `0o` or `0b`.

use clap::{Arg, ArgAction};

/// Makes a flag a switch: `--all`, `--all=true`, `--all=false`.
pub(crate) fn switch(flag: Arg) -> Arg {
    flag.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("BOOL")
        .value_parser(boolean)
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
}

/// The words for true and false.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// A whole number, decimal unless a prefix says otherwise.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| digits.strip_prefix(prefix).map(|digits| (digits, radix)));
    let (digits, radix) = prefixed.unwrap_or((digits, 10));
    if digits.starts_with(['-', '+']) {
        return Err("invalid digit found in string".to_owned());
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|error| {
        if digits.is_empty() {
            "cannot parse integer from empty string".to_owned()
        } else {
            error.to_string()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_have_a_prefix() {
        for (text, expected) in [
            ("20", Some(20)),
            ("-1", Some(-1)),
            ("0x1F", Some(31)),
            ("-0b101", Some(-5)),
            ("0o17", Some(15)),
            ("two", None),
            ("0x", None),
            ("--1", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(integer(text).ok(), expected, "{text}");
        }
    }
}
