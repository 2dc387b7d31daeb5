//! `paywatch payments retry --all` and `dismiss --all`: a decision about every payment of a choice.

use super::{When, list};
use crate::cli::print;
use crate::clock;
use crate::domain::{HumanAmount, visible};
use crate::store::{BulkAction, Decision, PaymentSummary, Selection, Store, Waiting};
use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Most payments that a dry run shows; it counts all.
const SHOWN_MAX: usize = 100;

/// Payments that wait for a person, by why, for how long and how much.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Every payment that waits for a person, as far as the options below do not narrow the choice
    #[arg(long, conflicts_with = "signature")]
    all: bool,
    /// Only payments that wait for this reason
    #[arg(long, value_name = "REASON", requires = "all", value_parser = waiting())]
    only: Option<Waiting>,
    /// Only payments seen at least so long ago (2h), or until a time (2026-11-22T08:00:00Z)
    #[arg(long, value_name = "WHEN", requires = "all")]
    older_than: Option<When>,
    /// Only payments of at least this amount, in human units (19.5)
    #[arg(long, value_name = "AMOUNT", requires = "all")]
    min_amount: Option<HumanAmount>,
    /// Only payments of at most this amount, in human units
    #[arg(long, value_name = "AMOUNT", requires = "all")]
    max_amount: Option<HumanAmount>,
    /// Show the payments, and change nothing
    #[arg(long, requires = "all")]
    dry_run: bool,
}

impl Choice {
    pub(super) async fn run(
        &self,
        store: &Store,
        action: BulkAction,
        by: &Decision,
    ) -> anyhow::Result<()> {
        if let Some(waiting) = self.only.filter(|waiting| !action.suits(*waiting)) {
            bail!(
                "payments that are held as {} have nothing to retry; confirm or dismiss them",
                waiting.as_str()
            );
        }
        let selection = Selection {
            waiting: self.only,
            seen_until: self.older_than.map(|when| when.0),
            min_amount: self.min_amount,
            max_amount: self.max_amount,
            seen: None,
        };
        if self.dry_run {
            return show(store, action, &selection).await;
        }
        let decided = store.decide_all(action, &selection, by, clock::now()).await;
        let decided = decided.context("decide about all payments of the choice")?;
        let (done, more) = match action {
            BulkAction::Retry => (
                "due now",
                "; the running daemon, or the next backfill, tries them again",
            ),
            BulkAction::Dismiss => ("dismissed", ""),
        };
        print::line(&format!(
            "{decided} {done}, as decided by {}{more}",
            visible(&by.actor)
        ))
    }
}

async fn show(store: &Store, action: BulkAction, selection: &Selection) -> anyhow::Result<()> {
    let mut walk = Store::walk(action, selection);
    let (mut shown, mut count): (Vec<PaymentSummary>, usize) = (Vec::new(), 0);
    loop {
        let some = store.next_selected(selection, &mut walk).await;
        let Some(some) = some.context("read payments")? else {
            break;
        };
        count += some.len();
        let room = SHOWN_MAX.saturating_sub(shown.len());
        shown.extend(some.into_iter().take(room));
    }
    if !shown.is_empty() {
        print::line(&list::table(&shown).to_string())?;
    }
    print::line(&format!(
        "dry run: {count} payments are meant, and nothing was changed"
    ))
}

fn waiting() -> impl TypedValueParser<Value = Waiting> {
    let words: Vec<_> = Waiting::all().into_iter().map(Waiting::as_str).collect();
    PossibleValuesParser::new(words).map(|word| word.parse::<Waiting>().unwrap_or(Waiting::Parked))
}
