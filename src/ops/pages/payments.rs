//! *Payments*: newest first, found by what one knows of them, and as CSV.

use super::super::Shared;
use super::frame::{Broken, Page, message};
use super::live::{self, Shows};
use super::parts;
use super::session::Session;
use crate::domain::{Held, Memo, Signature, Wallet};
use crate::report;
use crate::store::{self, Filter, PaymentState, Store};
use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures_util::stream;
use maud::{Markup, html};
use serde::Deserialize;

const ON_A_PAGE: u32 = 50;
const IN_A_PART: u32 = 1000;

/// What is asked for, as it stands in the address.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    verdict: String,
    before: Option<i64>,
}

impl Asked {
    fn filter(&self, limit: u32) -> Result<Filter, String> {
        let unknown = |what: &str, word: &str| format!("There is no {what} {word:?}.");
        let state = match self.state.as_str() {
            "" => None,
            word => Some(
                word.parse::<PaymentState>()
                    .map_err(|()| unknown("state", word))?,
            ),
        };
        let verdict = match self.verdict.as_str() {
            "" => None,
            "matched" => Some("matched".to_owned()),
            word => {
                let held = word
                    .parse::<Held>()
                    .map_err(|()| unknown("verdict", word))?;
                Some(held.to_string())
            }
        };
        let mut filter = Filter {
            state,
            verdict,
            before: self.before,
            ..Filter::newest(limit)
        };
        let text = self.q.trim();
        if let Ok(signature) = text.parse::<Signature>() {
            filter.signature = Some(signature);
        } else if let Ok(payer) = text.parse::<Wallet>() {
            filter.payer = Some(payer);
        } else {
            filter.memo = Memo::parse(text);
        }
        Ok(filter)
    }

    fn address(&self, path: &str, before: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", &self.q),
            ("state", &self.state),
            ("verdict", &self.verdict),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(id) = before {
            query.append_pair("before", &id.to_string());
        }
        format!("{path}?{}", query.finish())
    }
}

pub(super) async fn page(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Broken> {
    let filter = match asked.filter(ON_A_PAGE) {
        Ok(filter) => filter,
        Err(why) => return Ok(message(StatusCode::BAD_REQUEST, "Payments", &why)),
    };
    if live::wanted(&headers) {
        let store = shared.pipeline.store.clone();
        let page = asked.address("/payments", asked.before);
        let page = (page.as_str(), Shows::Records);
        return Ok(live::stream(&shared, &shared.streams, page, move || {
            list(store.clone(), filter.clone(), asked.clone())
        }));
    }
    let page = Page {
        title: "Payments",
        session: session.as_deref(),
        above: form(&asked),
        live: list(shared.pipeline.store.clone(), filter, asked).await?,
        below: html! {},
    };
    Ok(page.render().into_response())
}

fn form(asked: &Asked) -> Markup {
    let verdicts = Held::ALL.map(Held::as_str);
    let options = |all: &[&'static str], chosen: &str, any: &str| {
        html! {
            option value="" { (any) }
            @for word in all { option value=(word) selected[*word == chosen] { (word) } }
        }
    };
    html! {
        form.search method="get" action="/payments" role="search" {
            input type="search" name="q" value=(asked.q) placeholder="Signature, memo or payer" aria-label="Signature, memo or payer";
            select name="state" aria-label="State" { (options(&PaymentState::ALL.map(PaymentState::as_str), &asked.state, "any state")) }
            select name="verdict" aria-label="Verdict" {
                (options(&[&["matched"][..], &verdicts].concat(), &asked.verdict, "any verdict"))
            }
            button { "Search" }
            a href=(asked.address("/payments.csv", None)) { "CSV" }
        }
    }
}

async fn list(store: Store, filter: Filter, asked: Asked) -> store::Result<Markup> {
    let payments = store.payments(&filter).await?;
    let is_full = payments.len() >= usize::try_from(ON_A_PAGE).unwrap_or(usize::MAX);
    let older = payments.last().filter(|_| is_full).map(|last| last.id);
    Ok(html! {
        @if payments.is_empty() {
            p.empty { "No payments." }
        } @else {
            (parts::table(&payments))
        }
        p.pager {
            @if asked.before.is_some() { a href=(asked.address("/payments", None)) { "Newest" } }
            @if older.is_some() { a rel="next" href=(asked.address("/payments", older)) { "Older" } }
        }
    })
}

/// All of them, read from the database part by part.
pub(super) async fn export(
    State(shared): State<Shared>,
    Query(asked): Query<Asked>,
) -> Result<Response, Broken> {
    let filter = match asked.filter(IN_A_PART) {
        Ok(filter) => filter,
        Err(why) => return Ok(message(StatusCode::BAD_REQUEST, "Payments", &why)),
    };
    let mut head = Vec::new();
    // A list in memory takes everything.
    if let Err(error) = report::csv_head(&mut head) {
        tracing::error!(%error, "a table's head could not be written");
    }
    let store = shared.pipeline.store.clone();
    let first = (Some(filter), head);
    let parts = stream::try_unfold(first, move |(filter, mut text)| {
        let store = store.clone();
        async move {
            let Some(mut filter) = filter else {
                return Ok(None);
            };
            let payments = store
                .payments(&filter)
                .await
                .map_err(std::io::Error::other)?;
            report::csv_rows(&mut text, &payments)?;
            filter.before = payments.last().map(|last| last.id);
            let next = filter.before.is_some().then_some(filter);
            Ok::<_, std::io::Error>(Some((text, (next, Vec::new()))))
        }
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"payments.csv\""),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}
