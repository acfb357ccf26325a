use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What a file without figures is told to do.
pub(crate) const WRITE: &str = "run `cargo xtask instructions --write` and commit bench/instructions.toml";

const HEAD: &str = "\
# What one request costs `a6 serve` with one worker: `instructions` in user space, counted by callgrind, and
# `system_calls`, counted by strace. `./test instructions` fails when a request costs over 3 % more than this.
# Written by `cargo xtask instructions --write`; a commit that raises a figure says why.
";

/// Figures by lane and name, such as `plain`, `system_calls`.
pub(crate) type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// Reads the file of kept figures.
pub(crate) fn read(path: &Path) -> Result<Figures> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}: {WRITE}", path.display()))?;
    parse(&text).with_context(|| format!("reading {}", path.display()))
}

/// Writes the file of kept figures.
pub(crate) fn write(path: &Path, figures: &Figures) -> Result<()> {
    std::fs::write(path, render(figures)).with_context(|| format!("writing {}", path.display()))
}

/// Parses as much of TOML as [`render`] writes.
fn parse(text: &str) -> Result<Figures> {
    let mut figures = Figures::new();
    let mut lane = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            lane = Some(figures.entry(name.to_owned()).or_default());
            continue;
        }
        let figure = line.split_once('=').and_then(|(name, value)| Some((name, value.trim().parse().ok()?)));
        match (&mut lane, figure) {
            (Some(lane), Some((name, value))) => lane.insert(name.trim().to_owned(), value),
            _ => bail!("line {}: `[lane]` or `name = number` belongs here, not `{line}`", index + 1),
        };
    }
    Ok(figures)
}

fn render(figures: &Figures) -> String {
    let mut text = HEAD.to_owned();
    for (lane, named) in figures {
        text.push_str(&format!("\n[{lane}]\n"));
        for (name, value) in named {
            text.push_str(&format!("{name} = {value:.1}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let plain = BTreeMap::from([("instructions".to_owned(), 61234.5), ("system_calls".to_owned(), 8.0)]);
        let stream = BTreeMap::from([("instructions".to_owned(), 1e6)]);
        let figures = Figures::from([("plain".to_owned(), plain), ("stream".to_owned(), stream)]);
        assert_eq!(parse(&render(&figures)).unwrap(), figures);
    }

    #[test]
    fn names_the_line_that_it_does_not_understand() {
        for (text, line) in [("a = 1", 1), ("[plain]\n\na = b", 3), ("[plain]\nwhat", 2), ("# x\n[plain", 2)]
        {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}:")), "{text:?} gives {error}");
        }
    }
}
