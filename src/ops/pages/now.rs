//! *Now*: does it work, is it behind, what came lately.

use super::super::Shared;
use super::super::recent::{Recent, Recents};
use super::super::status::{Notices, Standing};
use super::frame::{Broken, Page};
use super::live::{self, Shows};
use super::session::Session;
use crate::clock;
use crate::domain::Timestamp;
use crate::report::{ago, duration};
use crate::store::{self, Hour};
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};

/// Of a bar's column, in units of the drawing.
const COLUMN: u32 = 10;
const HEIGHT: u32 = 60;

pub(super) async fn page(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    headers: HeaderMap,
) -> Result<Response, Broken> {
    if live::wanted(&headers) {
        let looked_at = shared.clone();
        return Ok(live::stream(
            &shared,
            &shared.streams,
            ("/", Shows::Times),
            move || {
                let shared = looked_at.clone();
                async move { told(&shared).await }
            },
        ));
    }
    let page = Page {
        title: "Now",
        session: session.as_deref(),
        above: html! {},
        live: told(&shared).await?,
        below: html! {},
    };
    Ok(page.render().into_response())
}

async fn told(shared: &Shared) -> store::Result<Markup> {
    let standing = Standing::take(&shared.pipeline, clock::now()).await?;
    let Recent {
        hours,
        last_hour,
        last_day,
    } = shared.recents.get(&shared.pipeline.store).await?;
    let (tone, sentence) = health(&standing);
    Ok(html! {
        p class=(format!("health {tone}")) role="status" { (sentence) }
        @if standing.notices == Notices::Gone {
            p.problem role="alert" { "Notices have ended: their address answered 410 Gone. Set notify.url and restart paywatch." }
        }
        (tiles(&standing))
        section.card {
            h2 { "Last 24 hours" }
            p {
                (last_day.payments) " recorded, " (last_day.confirmed) " confirmed; in the last hour "
                (last_hour.payments) ", " (last_hour.confirmed) " confirmed"
            }
            div.charts {
                (chart("Payments an hour", &hours, |hour| Some(hour.payments), |count| count.to_string()))
                (chart("Time to confirm, median of the hour", &hours, |hour| hour.confirm_ms, milliseconds))
            }
        }
        section.card {
            h2 { "Token accounts" }
            ul {
                @for account in &standing.token_accounts {
                    li { b { (account.symbol) } " " span.key { (account.token_account) } " swept " (ago(account.swept_ago_seconds)) }
                }
                @for why in &standing.unwatchable { li { b { "Not watched: " } (why) } }
                @if standing.token_accounts_in_turn > 0 {
                    li { (standing.token_accounts_in_turn) " more are swept in turn (watch.max_accounts)" }
                }
                @if standing.token_accounts.is_empty() { li { "None is watched yet." } }
            }
        }
    })
}

/// Health in one sentence.
fn health(standing: &Standing) -> (&'static str, String) {
    if let Some(why) = &standing.not_ready {
        return ("bad", format!("paywatch does not do its work: {why}."));
    }
    let held: u64 = standing.held.values().sum();
    let given_up = standing
        .outbox
        .parked
        .saturating_add(standing.outbox.uncredited);
    let waiting = held.saturating_add(given_up);
    match (waiting, standing.outbox.undelivered) {
        (0, 0) => (
            "good",
            "All is well: payments are watched and confirmed.".into(),
        ),
        (0, late) => (
            "busy",
            format!("Payments are watched; the payments API has not taken {late} of them yet."),
        ),
        (1, _) => (
            "busy",
            "Payments are watched and confirmed; one needs a person.".into(),
        ),
        (waiting, _) => (
            "busy",
            format!("Payments are watched and confirmed; {waiting} need a person."),
        ),
    }
}

fn tiles(standing: &Standing) -> Markup {
    let outbox = standing.outbox;
    let heard = ago(standing.slot_heard_ago_seconds);
    let held: u64 = standing.held.values().sum();
    let oldest = outbox
        .oldest_seconds
        .map(|seconds| format!("oldest for {}", duration(seconds)));
    let slot = standing.slot.map(|slot| format!("slot {slot}"));
    let tiles = [
        ("Chain heard", heard, slot),
        (
            "WebSockets",
            format!("{} of {} open", standing.sockets_open, standing.sockets),
            None,
        ),
        (
            "Checkouts pending",
            standing.pending_checkouts.to_string(),
            Some(format!("read {}", ago(standing.checkouts_read_ago_seconds))),
        ),
        (
            "Confirmations on their way",
            outbox.queued.to_string(),
            oldest,
        ),
        ("Held", held.to_string(), None),
        ("Parked", outbox.parked.to_string(), None),
        ("Uncredited", outbox.uncredited.to_string(), None),
    ];
    html! {
        dl.tiles {
            @for (name, value, more) in tiles {
                div { dt { (name) } dd { (value) @if let Some(more) = more { small { (more) } } } }
            }
        }
    }
}

fn chart(
    name: &str,
    hours: &[Hour],
    value: impl Fn(&Hour) -> Option<u64>,
    text: impl Fn(u64) -> String,
) -> Markup {
    let most = hours.iter().filter_map(&value).max().unwrap_or(0);
    let width = COLUMN * u32::from(Recents::HOURS);
    let columns = (0..).step_by(10).zip(hours);
    html! {
        figure {
            figcaption { (name) @if most > 0 { ", at most " (text(most)) } }
            svg viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" aria-label=(format!("{name}, hour by hour")) preserveAspectRatio="none" {
                @for (x, hour) in columns {
                    @let shown = value(hour);
                    @let height = bar(shown.unwrap_or(0), most);
                    g {
                        title { (hour_name(hour.start)) ": " (shown.map_or_else(|| "nothing".into(), &text)) }
                        rect.ground x=(x) y="0" width=(COLUMN) height=(HEIGHT) {}
                        rect.bar x=(x + 1) y=(HEIGHT - height) width=(COLUMN - 2) height=(height) {}
                    }
                }
            }
        }
    }
}

/// What is not nothing is seen.
fn bar(value: u64, most: u64) -> u32 {
    if value == 0 || most == 0 {
        return 0;
    }
    let height = u128::from(value) * u128::from(HEIGHT) / u128::from(most);
    u32::try_from(height).unwrap_or(HEIGHT).clamp(1, HEIGHT)
}

fn hour_name(start: Timestamp) -> String {
    let text = crate::report::seconds(start.unix_seconds());
    format!("{} UTC", text.get(11..16).unwrap_or_default())
}

fn milliseconds(ms: u64) -> String {
    if ms < 10_000 {
        format!("{ms} ms")
    } else {
        duration(ms / 1000)
    }
}
