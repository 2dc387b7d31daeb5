//! `paywatch check`: what a person would look at before trusting a set-up, a line for each, with what to do about it.

mod limits;
mod offline;
mod online;

use super::{FAILED, Failure, block_on, print};
use crate::config::Config;
use serde::Serialize;
use std::borrow::Cow;

/// Arguments of `paywatch check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Look at configuration and files only; ask nobody
    #[arg(long)]
    offline: bool,
    /// Print a list of objects as JSON
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    /// It works, and may not always.
    Warning,
    Failed,
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    outcome: Outcome,
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Cow<'static, str>>,
}

impl Finding {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            outcome: Outcome::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn warning(
        check: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            outcome: Outcome::Warning,
            advice: Some(advice.into()),
            ..Self::ok(check, found)
        }
    }

    fn failed(
        check: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            outcome: Outcome::Failed,
            ..Self::warning(check, found, advice)
        }
    }
}

/// Findings, shown as they come.
struct Report {
    json: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        if !self.json {
            let word = match finding.outcome {
                Outcome::Ok => "ok",
                Outcome::Warning => "warning",
                Outcome::Failed => "FAILED",
            };
            let (check, found) = (&finding.check, crate::domain::visible(&finding.found));
            print::line(&format!("{word:<8} {check:<34} {found}"))?;
            if let Some(advice) = &finding.advice {
                print::line(&format!("{:<8} {:<34} → {advice}", "", ""))?;
            }
        }
        self.findings.push(finding);
        Ok(())
    }
}

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut report = Report {
        json: args.json,
        findings: Vec::new(),
    };
    block_on(async {
        report.add(Finding::ok("configuration", "valid"))?;
        offline::look(config, &mut report).await?;
        if !args.offline {
            online::look(config, &mut report).await?;
        }
        Ok(())
    })?;
    if args.json {
        print::json(&report.findings)?;
    }
    let has_failed = |finding: &Finding| finding.outcome == Outcome::Failed;
    Ok(if report.findings.iter().any(has_failed) {
        FAILED
    } else {
        0
    })
}
