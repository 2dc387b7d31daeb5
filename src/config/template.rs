//! A configuration file to begin with: the example, with some values filled in.

use toml::Value;

/// Every key with its default, unit and reason.
const EXAMPLE: &str = include_str!("../../config/example.toml");

/// The example configuration with these values (section, key, value) instead of its own. Comments stay where they are.
#[must_use]
pub fn filled_in(values: &[(&str, &str, Value)]) -> String {
    let (mut section, mut text) = ("", String::new());
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let given = values.iter().find(|(of, key, _)| {
            *of == section
                && line
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with(" ="))
        });
        match (given, line.split_once(" #")) {
            (Some((_, key, value)), Some((old, comment))) => {
                let width = old.len();
                text += &format!("{:width$} #{comment}", format!("{key} = {value}"));
            }
            (Some((_, key, value)), None) => text += &format!("{key} = {value}"),
            (None, _) => text += line,
        }
        text.push('\n');
    }
    text
}
