//! The table.

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::json;
use std::{path::Path, time::Duration};

/// One line.
struct Figure {
    name: String,
    value: f64,
    /// What cannot be avoided, measured in the same run.
    floor: Option<f64>,
    unit: &'static str,
    /// How many were measured.
    n: usize,
}

/// All lines.
#[derive(Default)]
pub struct Figures {
    all: Vec<Figure>,
}

impl Figures {
    /// Adds a line, and says it at once.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        value: f64,
        floor: Option<f64>,
        unit: &'static str,
        n: usize,
    ) {
        let figure = Figure {
            name: name.into(),
            value,
            floor,
            unit,
            n,
        };
        eprintln!(
            "{}: {} {unit}{} (n = {n})",
            figure.name,
            number(value),
            figure
                .floor
                .map(|floor| format!(", floor {}, ratio {:.2}", number(floor), value / floor))
                .unwrap_or_default(),
        );
        self.all.push(figure);
    }

    /// Adds median, p95 and p99 of what was measured, beside those of the floor; milliseconds.
    pub fn add_quantiles(
        &mut self,
        name: &str,
        measured: &mut [Duration],
        floor: Option<&mut [Duration]>,
    ) {
        measured.sort_unstable();
        let floor = floor.map(|floor| {
            floor.sort_unstable();
            &*floor
        });
        for (percent, called) in [(50, "median"), (95, "p95"), (99, "p99")] {
            let floor = floor.map(|floor| quantile_ms(floor, percent));
            self.add(
                format!("{name}, {called}"),
                quantile_ms(measured, percent),
                floor,
                "ms",
                measured.len(),
            );
        }
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["figure", "value", "floor", "ratio", "unit", "n"]);
        for figure in &self.all {
            let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(&figure.name),
                right(number(figure.value)),
                right(figure.floor.map(number).unwrap_or_default()),
                right(
                    figure
                        .floor
                        .map(|floor| format!("{:.2}", figure.value / floor))
                        .unwrap_or_default(),
                ),
                Cell::new(figure.unit),
                right(figure.n.to_string()),
            ]);
        }
        println!("{table}");
    }

    /// Writes one object a line of the table.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let object = |figure: &Figure| {
            json!({
                "name": figure.name, "value": figure.value, "floor": figure.floor,
                "ratio": figure.floor.map(|floor| figure.value / floor), "unit": figure.unit, "n": figure.n,
            })
        };
        let all: Vec<_> = self.all.iter().map(object).collect();
        std::fs::write(file, serde_json::to_vec_pretty(&all)?)
            .with_context(|| format!("write {}", file.display()))
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A quantile of what is sorted, milliseconds.
pub fn quantile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let index = sorted.len().saturating_sub(1) * percent / 100;
    sorted
        .get(index)
        .map_or(f64::NAN, |one| one.as_secs_f64() * 1000.0)
}
