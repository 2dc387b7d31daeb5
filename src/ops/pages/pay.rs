//! The page of one checkout, for its buyer: what to send, and how far it is. Public, so it shows nothing but this checkout.

use super::super::Shared;
use super::{
    frame::{Broken, head},
    live::{self, Shows},
};
use crate::config::Ops;
use crate::domain::{Checkout, Memo, TransferRequest, visible};
use crate::pipeline::Pipeline;
use crate::report::{qr_svg, stage_words};
use crate::store::{self, Stage};
use axum::{
    extract::{ConnectInfo, Path, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OnceCell, Semaphore};

/// 30: requests an address may make at once.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
/// 10: requests an address may make in a second, in the long run.
const A_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Addresses that are remembered before those that asked long ago are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// How long a page waits for a node to name its network.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many buyers may look on at a time. The others' pages are loaded again every ten seconds.
const STREAMS_MAX: usize = 256;

/// What pages for buyers need.
pub(in crate::ops) struct PayPages {
    visits: DefaultKeyedRateLimiter<IpAddr>,
    streams: Arc<Semaphore>,
    network: OnceCell<&'static str>,
}

impl PayPages {
    pub(in crate::ops) fn if_on(config: &Ops) -> Option<Arc<Self>> {
        let quota = Quota::per_second(A_SECOND).allow_burst(BURST);
        config.pay_pages.then(|| {
            Arc::new(Self {
                visits: RateLimiter::keyed(quota),
                streams: Arc::new(Semaphore::new(STREAMS_MAX)),
                network: OnceCell::new(),
            })
        })
    }

    fn admits(&self, address: IpAddr) -> bool {
        if self.visits.len() > ADDRESSES_MAX {
            self.visits.retain_recent();
        }
        self.visits.check_key(&subscriber(address)).is_ok()
    }

    /// Asked of a node until one has said it; nobody waits long for that.
    async fn network(&self, pipeline: &Pipeline) -> &'static str {
        let asked = self.network.get_or_try_init(|| pipeline.rpc.network());
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(name)) => name,
            _ => "Solana",
        }
    }
}

/// One subscriber has many addresses of IPv6.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

pub(super) async fn script() -> impl IntoResponse {
    let kind = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("pay.js"))
}

pub(super) async fn page(
    State(shared): State<Shared>,
    ConnectInfo(visitor): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Path(memo): Path<String>,
) -> Result<Response, Broken> {
    let Some(pay_pages) = shared.pay_pages.clone() else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    if !pay_pages.admits(visitor.ip()) {
        let wait = [(RETRY_AFTER, "3")];
        let text = "too many requests from your address; please wait a moment\n";
        return Ok((StatusCode::TOO_MANY_REQUESTS, wait, text).into_response());
    }
    let Some((memo, (checkout, stage))) = find(&shared, &memo).await? else {
        let body = html! {
            p { "This payment is not known (yet). If you just began it, this page shows it in a moment; otherwise check the link, or ask the shop." }
            p data-again { (look_again()) }
        };
        return Ok((StatusCode::NOT_FOUND, document("Payment", &body)).into_response());
    };
    let network = pay_pages.network(&shared.pipeline).await;
    if live::wanted(&headers) {
        let (streaming, page) = (shared.clone(), format!("/pay/{}", memo.as_str()));
        let live = move || {
            let (shared, memo) = (streaming.clone(), memo.clone());
            async move {
                let found = shared.pipeline.store.stage(&memo).await?;
                Ok::<_, store::Error>(found.map_or_else(
                    || html! {},
                    |(checkout, stage)| contents(&shared.pipeline, &checkout, &stage, network),
                ))
            }
        };
        let page = (page.as_str(), Shows::Records);
        return Ok(live::stream(&shared, &pay_pages.streams, page, live));
    }
    let title = match due(&shared.pipeline, &checkout) {
        Some(request) => format!(
            "Payment of {} {}",
            request.human(),
            visible(&request.symbol)
        ),
        None => "Payment".into(),
    };
    let body = html! {
        div #live aria-live="polite" { (contents(&shared.pipeline, &checkout, &stage, network)) }
        noscript { p { (look_again()) } }
    };
    Ok(document(&title, &body).into_response())
}

async fn find(shared: &Shared, memo: &str) -> store::Result<Option<(Memo, (Checkout, Stage))>> {
    let Some(memo) = Memo::parse(memo) else {
        return Ok(None);
    };
    let found = shared.pipeline.store.stage(&memo).await?;
    Ok(found.map(|found| (memo, found)))
}

/// What a wallet must send, as far as the API tells and the token is watched.
fn due(pipeline: &Pipeline, checkout: &Checkout) -> Option<TransferRequest> {
    let watching = pipeline.watching();
    let watched = watching
        .accounts()
        .iter()
        .find(|one| checkout.mint == Some(one.mint))?;
    Some(TransferRequest {
        memo: checkout.memo.clone(),
        amount: checkout.amount?,
        mint: watched.mint,
        decimals: watched.decimals,
        symbol: watched.symbol.clone(),
        recipient: checkout.recipient.unwrap_or(watched.wallet),
    })
}

fn contents(pipeline: &Pipeline, checkout: &Checkout, stage: &Stage, network: &str) -> Markup {
    let tone = match stage {
        Stage::Waiting | Stage::Seen { .. } => "busy",
        Stage::Confirmed { .. } => "good",
        Stage::NeedsHelp { .. } | Stage::Closed => "bad",
    };
    let explorer = pipeline.config.ops.explorer.as_deref();
    html! {
        p.health.(tone) { (stage_words(stage)) }
        @if let Some(signature) = stage.signature() {
            dl {
                dt { "Transaction" }
                dd {
                    @match explorer.map(|pattern| pattern.replace("{signature}", signature)) {
                        Some(link) => a.key href=(link) rel="noreferrer" target="_blank" { (signature) },
                        None => span.key { (signature) },
                    }
                }
            }
        }
        // Once something came, nobody is to pay again.
        @if *stage == Stage::Waiting {
            @match due(pipeline, checkout) {
                Some(request) => (instructions(&request, network)),
                None => p { "What to send is not known here; the shop's own page says it." },
            }
        }
    }
}

fn instructions(request: &TransferRequest, network: &str) -> Markup {
    let (url, symbol) = (request.url(), visible(&request.symbol));
    let (amount, recipient) = (request.human(), request.recipient.to_string());
    let memo = request.memo.as_str().to_owned();
    let fields = [
        ("Amount", &amount, &amount, symbol.as_str()),
        ("To wallet", &recipient, &recipient, ""),
        ("Memo", &memo, &request.memo.in_full(), ""),
    ];
    html! {
        @if let Ok(code) = qr_svg(&url) {
            figure.qr role="img" aria-label="QR code for a wallet that knows Solana Pay" {
                (PreEscaped(without_prolog(&code)))
            }
        }
        p.actions { a.button.main href=(url) { "Open in a wallet" } }
        p { "Or send it by hand, in one transaction, exactly this amount and with this memo: without the memo nobody knows what it is for." }
        dl.send {
            @for (name, text, shown, unit) in fields {
                dt { (name) }
                dd {
                    span.key.outside { (shown) } " " (unit) " "
                    button type="button" data-copy=(text) aria-label=(format!("Copy {}", name.to_lowercase())) { "Copy" }
                }
            }
            dt { "Token" }
            dd { (symbol) " " small.key { (request.mint) } }
            dt { "Network" }
            dd { (network) }
        }
    }
}

/// For whom no script does it. Pages that reload by themselves are hard on those who have them read out.
fn look_again() -> Markup {
    html! { a.button href="" { "Look again" } }
}

/// A picture within a page begins with its element.
fn without_prolog(svg: &str) -> &str {
    svg.find("<svg").and_then(|at| svg.get(at..)).unwrap_or(svg)
}

/// A page without the operator's rooms.
fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(title))
                script src="/pay.js" defer {}
                meta name="robots" content="noindex";
            }
            body {
                main.pay {
                    h1 { (title) }
                    (body)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The copied memo is exact; the shown one looks like no other.
    #[test]
    fn a_memo_is_shown_as_no_other_looks_and_copied_as_it_is() {
        let request = TransferRequest {
            memo: Memo::parse("9df5  u\u{308}\u{a0}x\u{200b}y").unwrap(),
            amount: crate::domain::BaseUnits(19),
            mint: crate::domain::Mint(spl_token::native_mint::id()),
            decimals: crate::domain::Decimals::new(0).unwrap(),
            symbol: "USDC".into(),
            recipient: crate::domain::Wallet(spl_token::id()),
        };
        let page = instructions(&request, "devnet").into_string();
        let shown = "<span class=\"key outside\">9df5  u\\u{308}\\u{a0}x\\u{200b}y</span>";
        assert!(page.contains(shown), "{page}");
        let copied = "data-copy=\"9df5  u\u{308}\u{a0}x\u{200b}y\"";
        assert!(page.contains(copied), "{page}");
    }

    #[test]
    fn an_address_is_admitted_for_a_while_and_others_all_the_same() {
        let mut config = Ops {
            listen: None,
            token: None,
            public_url: None,
            pay_pages: false,
            explorer: None,
        };
        assert!(PayPages::if_on(&config).is_none());
        config.pay_pages = true;
        let pages = PayPages::if_on(&config).unwrap();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let admitted = (0..1_000).filter(|_| pages.admits(one)).count();
        assert!((30..60).contains(&admitted), "{admitted}");
        let same: IpAddr = "2001:db8::ffff".parse().unwrap();
        assert!(!pages.admits(same), "of the same subscriber");
        assert!(pages.admits("192.0.2.7".parse().unwrap()));
    }
}
