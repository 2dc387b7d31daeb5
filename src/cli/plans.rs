//! `paywatch plans`: what can be bought.

use super::{Failure, buyer, print};
use crate::config::Config;
use crate::domain::visible;
use crate::merchant::Plan;
use crate::report::plan_json;
use comfy_table::{Table, presets};
use serde_json::Value;

pub(super) fn run(config: &Config, args: &buyer::Listing) -> Result<u8, Failure> {
    buyer::ask(config, async |buyer| {
        let plans = buyer.plans().await?;
        if args.json {
            print::json(&plans.iter().map(plan_json).collect::<Vec<_>>())
        } else if plans.is_empty() {
            print::line("no plans")
        } else {
            print::line(&table(&plans).to_string())
        }
    })
}

/// A column for whatever the API tells of plans: nothing but the id is published.
fn table(plans: &[Plan]) -> Table {
    let mut columns = vec!["id"];
    for name in plans.iter().flat_map(|plan| plan.entry.keys()) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut table = Table::new();
    let heads = columns
        .iter()
        .map(|name| visible(&name.replace('_', " ").to_uppercase()));
    table
        .load_preset(presets::NOTHING)
        .set_header(heads.collect::<Vec<_>>());
    for plan in plans {
        let cell = |name: &&str| match plan.entry.get(*name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => visible(text),
            Some(other) => visible(&other.to_string()),
        };
        table.add_row(columns.iter().map(cell).collect::<Vec<_>>());
    }
    table
}
