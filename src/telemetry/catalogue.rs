//! Every metric there is, with its meaning. `deploy/metrics.md` says the same for people; a test holds both against what is exported.

use crate::domain::Held;
use metrics::{describe_counter, describe_gauge, describe_histogram};

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// What tells the series of a metric from each other.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// The values that are known beforehand.
    pub values: &'static [&'static str],
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values }
}

/// `matched`, or why held.
const VERDICTS: [&str; Held::ALL.len() + 1] = {
    let mut words = ["matched"; Held::ALL.len() + 1];
    let mut index = 0;
    while index < Held::ALL.len() {
        words[index + 1] = Held::ALL[index].as_str();
        index += 1;
    }
    words
};
const OUTCOMES: &[&str] = &["acknowledged", "retry", "parked"];
const FINDINGS: &[&str] = &[
    "credited",
    "acknowledged",
    "paid_by_other",
    "sent_again",
    "uncredited",
    "parked",
];
const METHODS: &[&str] = &[
    "getAccountInfo",
    "getBlockTime",
    "getFirstAvailableBlock",
    "getGenesisHash",
    "getSignatureStatuses",
    "getSignaturesForAddress",
    "getSlot",
    "getTokenAccountsByOwner",
    "getTransaction",
    "getVersion",
];
const STEPS: &[&str] = &[
    "watch",
    "checkouts",
    "sweep",
    "second_opinion",
    "peek",
    "settle",
    "quarantine",
    "confirm",
    "notify",
    "checkpoint",
];

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels. A counter is there from the start with each of their values, a gauge if it has none.
    pub labels: &'static [Label],
    /// What it means.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}

/// All of them.
pub const METRICS: &[Metric] = &[
    counter(
        "paywatch_payments_total",
        &[label("verdict", &VERDICTS)],
        "Payments recorded, each once, by its first verdict: matched, or why held",
    ),
    counter(
        "paywatch_rejudged_payments_total",
        &[label("verdict", &VERDICTS)],
        "Payments judged again, by the new verdict",
    ),
    counter(
        "paywatch_attempts_total",
        &[label("outcome", OUTCOMES)],
        "Confirmations sent to the API, by what became of them",
    ),
    Metric {
        name: "paywatch_confirm_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "From a confirmation queued to acknowledged by the API, seconds",
    },
    counter(
        "paywatch_dropped_payments_total",
        &[],
        "Payments whose fork died after they were sent to the API",
    ),
    gauge(
        "paywatch_held_payments",
        &[label("reason", &[])],
        "Payments that wait for a person, by why they are held",
    ),
    gauge(
        "paywatch_dust_payments",
        &[],
        "Held payments too small to need a person (policy.dust_below)",
    ),
    gauge("paywatch_outbox_depth", &[], "Confirmations on their way"),
    gauge(
        "paywatch_outbox_oldest_seconds",
        &[],
        "How long the oldest of them has been on its way",
    ),
    gauge(
        "paywatch_outbox_parked",
        &[],
        "Confirmations given up, that wait for a person",
    ),
    gauge(
        "paywatch_uncredited_confirmations",
        &[],
        "Confirmations that the API accepted and its history does not show as credited, that wait for a person",
    ),
    counter(
        "paywatch_reconciled_total",
        &[label("outcome", FINDINGS)],
        "Confirmations that the API's history changed: credited, acknowledged, paid_by_other, sent_again, uncredited or parked",
    ),
    gauge(
        "paywatch_checkouts_pending",
        &[],
        "Checkouts that wait for a payment",
    ),
    gauge(
        "paywatch_ready",
        &[],
        "1 if the daemon does its work, 0 if not (see /readyz)",
    ),
    gauge(
        "paywatch_key_refused",
        &[],
        "1 while the API refuses the key",
    ),
    gauge("paywatch_store_failed", &[], "1 while the database fails"),
    gauge(
        "paywatch_disk_free_bytes",
        &[],
        "Room on the disk of the database",
    ),
    gauge("paywatch_slot", &[], "The newest slot a WebSocket brought"),
    gauge(
        "paywatch_last_slot_timestamp_seconds",
        &[],
        "When a WebSocket last brought one, Unix time",
    ),
    gauge("paywatch_sockets_open", &[], "WebSockets that are open"),
    counter("paywatch_reconnects_total", &[], "WebSockets lost"),
    counter("paywatch_hints_total", &[], "Notifications followed"),
    counter(
        "paywatch_hints_dropped_total",
        &[],
        "Notifications left to the sweep, because too many came at once",
    ),
    gauge("paywatch_token_accounts", &[], "Token accounts watched"),
    gauge(
        "paywatch_unmatched_limits",
        &[],
        "Limits of the policy that name no watched token: all payments wait for finalized",
    ),
    gauge(
        "paywatch_short_histories",
        &[],
        "Token accounts of which the nodes keep less history than is wanted",
    ),
    gauge(
        "paywatch_token_accounts_in_turn",
        &[],
        "Token accounts beyond watch.max_accounts, swept in turn, not in every sweep",
    ),
    gauge(
        "paywatch_unwatchable_tokens",
        &[],
        "Tokens for which nothing is watched: the recipient is no wallet, or the mint is not there",
    ),
    gauge(
        "paywatch_last_sweep_timestamp_seconds",
        &[],
        "When a sweep last covered all its token accounts, Unix time",
    ),
    gauge(
        "paywatch_last_poll_timestamp_seconds",
        &[],
        "When the API's checkouts were last read, Unix time",
    ),
    counter(
        "paywatch_history_unreadable_total",
        &[],
        "Entries of the API's history that could not be read",
    ),
    counter(
        "paywatch_history_ignored_total",
        &[],
        "Entries of the API's history that are no crypto checkouts, card sessions for instance",
    ),
    gauge(
        "paywatch_history_incomplete",
        &[],
        "1 if the API's history ends before the end that it tells, or its pages ignore the offset",
    ),
    counter(
        "paywatch_api_slowdowns_total",
        &[],
        "Times the payments API refused a request for being one too many",
    ),
    counter(
        "paywatch_rpc_requests_total",
        &[label("method", METHODS), label("outcome", &["ok", "error"])],
        "Requests to Solana nodes",
    ),
    counter(
        "paywatch_rpc_slowdowns_total",
        &[],
        "Times a node said that it is asked too often",
    ),
    counter(
        "paywatch_notices_total",
        &[label("outcome", &["sent", "retry", "given_up", "gone"])],
        "Notices posted to people: sent, retry, given_up, or gone (the address answered 410)",
    ),
    counter(
        "paywatch_failed_steps_total",
        &[label("step", STEPS)],
        "Steps of a loop that failed and are tried again",
    ),
    gauge(
        "paywatch_build_info",
        &[label("version", &[])],
        "1; the version is in its label",
    ),
    gauge(
        "paywatch_start_timestamp_seconds",
        &[],
        "When this process began to watch, Unix time",
    ),
];

/// Tells the recorder what they mean, and begins at zero: an alert must not wait for the first event.
pub(super) fn describe() {
    for one in METRICS {
        match one.kind {
            Kind::Counter => {
                describe_counter!(one.name, one.help);
                for series in series(one.labels) {
                    metrics::counter!(one.name, series).increment(0);
                }
            }
            Kind::Gauge => {
                describe_gauge!(one.name, one.help);
                if one.labels.is_empty() {
                    metrics::gauge!(one.name).increment(0.0);
                }
            }
            Kind::Histogram => describe_histogram!(one.name, one.help),
        }
    }
}

/// Every combination of the labels' values.
fn series(labels: &[Label]) -> Vec<Vec<metrics::Label>> {
    labels.iter().fold(vec![Vec::new()], |all, label| {
        let with = |value: &&'static str| {
            let new = metrics::Label::from_static_parts(label.name, value);
            all.iter()
                .map(move |one| one.iter().cloned().chain([new.clone()]).collect())
                .collect::<Vec<_>>()
        };
        label.values.iter().flat_map(with).collect()
    })
}
