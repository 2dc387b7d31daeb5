//! What nodes and API say.

use super::{Finding, Report, limits};
use crate::clock;
use crate::config::Config;
use crate::domain::{Commitment, Decimals, Slot, TokenAccount};
use crate::merchant::{self, Backend, Merchant, Paging};
use crate::solana::{
    self, Event, Found, Limits, Proof, Rpc, Target, endpoint_label, listen_once, slot_by_socket,
    watched_accounts,
};
use anyhow::Context;
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::oneshot;
use url::Url;

/// How long a WebSocket may take to bring a slot.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);
/// Pages of the history that show whether the API heeds the offset.
const PAGES_LOOKED_AT: usize = 3;
/// How far this machine's clock may be from the chain's, which is some seconds behind by itself.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

pub(super) async fn look(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    for url in &config.solana.rpc_urls {
        for finding in node(config, url).await? {
            report.add(finding)?;
        }
    }
    if config.solana.ws_urls.is_empty() {
        report.add(Finding::warning(
            "solana.ws_urls",
            "none",
            "payments are found by the sweep alone, seconds later: add the node's WebSocket endpoint",
        ))?;
    }
    for url in &config.solana.ws_urls {
        report.add(socket(url).await)?;
    }
    let merchant = Merchant::new(&config.merchant.settings).context("build a client")?;
    let base_url = &config.merchant.settings.base_url;
    report.add(history(&merchant, base_url).await)?;
    let (finding, targets) = tokens(config, &merchant).await;
    report.add(finding)?;
    // Where the API did not tell its tokens, that is what has failed.
    if !targets.is_empty() {
        let named = targets.iter().map(|(target, _)| target);
        for finding in limits::of(config, &named) {
            report.add(finding)?;
        }
    }
    let rpc = Rpc::new(&config.solana.rpc_urls, config.solana.limits).context("build a client")?;
    for (target, decimals) in targets {
        report.add(token_accounts(&rpc, &target, decimals).await)?;
    }
    Ok(())
}

/// One endpoint by itself: that another one answers is no comfort here.
async fn node(config: &Config, url: &Url) -> anyhow::Result<Vec<Finding>> {
    let check = format!("rpc {}", endpoint_label(url));
    let limits: Limits = config.solana.limits;
    let rpc = Rpc::new(std::slice::from_ref(url), limits).context("build a client")?;
    let (version, slot) = match tokio::try_join!(rpc.version(), rpc.slot(Commitment::Confirmed)) {
        Ok(told) => told,
        Err(error) => return Ok(vec![Finding::failed(check, told(error), no_node(url))]),
    };
    Ok(vec![
        Finding::ok(check, format!("version {version}, slot {slot}")),
        clock_of(&rpc, slot, url).await,
        kept(config, &rpc, slot, url).await,
    ])
}

fn no_node(url: &Url) -> &'static str {
    if url.scheme() == "https" {
        "look at the address, its key and the provider's status; behind a proxy of one's own, SSL_CERT_FILE names its certificate"
    } else {
        "look at the address, and whether the node runs"
    }
}

async fn clock_of(rpc: &Rpc, slot: u64, url: &Url) -> Finding {
    let check = format!("clock, by {}", endpoint_label(url));
    let Ok(Some(chain)) = rpc.block_time(slot).await else {
        return Finding::warning(
            check,
            "the node does not say when its newest block was made",
            "see to it that this machine's clock is kept right (timedatectl)",
        );
    };
    let apart = clock::now().unix_seconds().abs_diff(chain);
    let found = format!("{apart} s from the chain's");
    if apart <= CLOCK_TOLERANCE.as_secs() {
        Finding::ok(check, found)
    } else {
        Finding::warning(
            check,
            found,
            "a chain that stands still, a node that lags, or this machine's clock (timedatectl): which sessions are looked back for depends on it",
        )
    }
}

async fn kept(config: &Config, rpc: &Rpc, slot: Slot, url: &Url) -> Finding {
    let check = format!("history of {}", endpoint_label(url));
    let advice = "payments made before it while paywatch was away would not be found: use an endpoint with longer history";
    let oldest = match rpc.oldest_slot().await {
        // Slot 0 is the genesis.
        Ok(0 | 1) if reaches_back(rpc, slot, config.watch.look_back).await => {
            return Finding::ok(check, "all of it");
        }
        Ok(slot @ 2..) => rpc.block_time(slot).await.ok().flatten(),
        Ok(_) | Err(_) => None,
    };
    let Some(oldest) = oldest else {
        return Finding::warning(check, "the node does not say how far back it goes", advice);
    };
    let kept = Duration::from_secs(clock::now().unix_seconds().abs_diff(oldest));
    let needed = config.watch.look_back;
    let found = format!(
        "{} kept, {} looked back (watch.look_back)",
        humantime::format_duration(kept),
        humantime::format_duration(needed)
    );
    if kept >= needed {
        Finding::ok(check, found)
    } else {
        Finding::warning(check, found, advice)
    }
}

/// Whether a node that says it has everything knows a block of about so long ago. Some slots have no block.
async fn reaches_back(rpc: &Rpc, slot: Slot, look_back: Duration) -> bool {
    const SLOT: Duration = Duration::from_millis(400);
    const TRIES: u64 = 8;
    let slots = look_back.as_millis() / SLOT.as_millis();
    let oldest = slot.saturating_sub(u64::try_from(slots).unwrap_or(u64::MAX));
    if oldest == 0 {
        return true;
    }
    for slot in oldest..oldest.saturating_add(TRIES) {
        if matches!(rpc.block_time(slot).await, Ok(Some(_))) {
            return true;
        }
    }
    false
}

async fn socket(url: &Url) -> Finding {
    let check = format!("socket {}", endpoint_label(url));
    if let Ok(slot) = slot_by_socket(url, SLOT_PATIENCE).await {
        return Finding::ok(check, format!("brings slots, now {slot}"));
    }
    let (sender, opened) = oneshot::channel();
    let mut sender = Some(sender);
    let listening = listen_once(url, &[], SLOT_PATIENCE, Proof::Answers, |event| {
        if let Event::Subscribed(_) = event
            && let Some(sender) = sender.take()
        {
            // The receiver waits below.
            let _heard = sender.send(());
        }
    });
    tokio::select! {
        biased;
        Ok(()) = opened => Finding::warning(
            check,
            "the node sends no slots",
            "payments are heard all the same; only pings show that the socket is alive",
        ),
        Err(ended) = listening => Finding::failed(
            check,
            told(ended),
            "look at solana.ws_urls; some providers serve sockets under another address, or not on every plan",
        ),
    }
}

/// Reads as many pages as show how the API pages.
async fn history(merchant: &Merchant, base_url: &Url) -> Finding {
    let check = "the API's history";
    let (mut paging, mut entries, mut unreadable, mut ignored) = (Paging::from(0), 0, 0, 0);
    let mut fields = BTreeSet::new();
    for number in 0..PAGES_LOOKED_AT {
        let page = match merchant.history(paging.offset()).await {
            Ok(page) => page,
            Err(error) => return no_api(check, error, base_url),
        };
        if number == 0 {
            (entries, unreadable, ignored) =
                (page.entries(), page.unreadable.len(), page.ignored.len());
            fields.clone_from(&page.unknown_fields);
        }
        paging.take(page);
        if paging.is_done() {
            break;
        }
    }
    let doubt = match paging.doubt() {
        Some(doubt) => Some(doubt.to_string()),
        None => match cut_before_its_end(merchant, &paging).await {
            Ok(doubt) => doubt,
            Err(error) => return no_api(check, error, base_url),
        },
    };
    if let Some(doubt) = doubt {
        return Finding::failed(
            check,
            doubt,
            "checkouts beyond that are not known, and payments for them stay held as unknown_memo: the API must page by limit and offset",
        );
    }
    let ignored = match ignored {
        0 => String::new(),
        ignored => format!(", {ignored} of them no crypto checkouts"),
    };
    let found = format!("{entries} entries on the first page{ignored}");
    if fields.is_empty() {
        return Finding::ok(check, found);
    }
    let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
    let found = format!(
        "{found}, {unreadable} of them unreadable; fields without a known form: {}",
        fields.join(", ")
    );
    Finding::warning(
        check,
        found,
        "payments for unreadable sessions stay held as unknown_memo; a session without `created_at` is not looked back for",
    )
}

/// Looks at a page near the end of a history that is longer than what was read. Says what is wrong if it has no entry.
async fn cut_before_its_end(
    merchant: &Merchant,
    paging: &Paging,
) -> Result<Option<String>, merchant::Error> {
    let Some(total) = paging.total().filter(|total| *total > paging.end()) else {
        return Ok(None);
    };
    let offset = total.saturating_sub(Paging::OVERLAP).max(paging.end());
    let page = merchant.history(offset).await?;
    Ok((page.entries() == 0).then(|| {
        format!("GET /history says that it has {total} entries, and its page at offset {offset} is empty")
    }))
}

/// Asks what is to be watched; each comes with the decimal places that the API tells.
async fn tokens(
    config: &Config,
    merchant: &Merchant,
) -> (Finding, Vec<(Target, Option<Decimals>)>) {
    let configured = &config.watch.tokens;
    if !configured.is_empty() {
        let targets = configured.iter().map(|token| {
            let target = Target {
                mint: token.mint,
                wallet: token.recipient,
                symbol: token.symbol.clone(),
            };
            (target, None)
        });
        let found = format!("{} configured; the API is not asked", configured.len());
        return (Finding::ok("watch.tokens", found), targets.collect());
    }
    let check = "the API's tokens";
    let listed = match merchant.supported_tokens().await {
        Ok(listed) => listed,
        Err(error) => {
            let base_url = &config.merchant.settings.base_url;
            return (no_api(check, error, base_url), Vec::new());
        }
    };
    let enabled: Vec<_> = listed.into_iter().filter(|token| token.enabled).collect();
    if enabled.is_empty() {
        let advice =
            "nothing is watched until the API lists an enabled token, or watch.tokens does";
        return (
            Finding::failed(check, "no enabled token", advice),
            Vec::new(),
        );
    }
    let symbols: Vec<_> = enabled.iter().map(|token| token.symbol.as_str()).collect();
    let finding = Finding::ok(check, symbols.join(", "));
    let targets = enabled.into_iter().map(|token| {
        let target = Target {
            mint: token.mint,
            wallet: token.recipient,
            symbol: token.symbol,
        };
        (target, token.decimals)
    });
    (finding, targets.collect())
}

fn no_api(check: &str, error: merchant::Error, base_url: &Url) -> Finding {
    let advice = match &error {
        merchant::Error::KeyRefused(_) => {
            "the key is wrong or may not do this: merchant.api_key_file, auth_header, auth_scheme"
        }
        merchant::Error::Paused(_) => "the API limits requests: wait, then check again",
        merchant::Error::Redirected { .. } => "set merchant.base_url to the address that answers",
        merchant::Error::Transport(_) if base_url.scheme() == "https" => {
            "look at merchant.base_url, and whether the API is there; behind a proxy of one's own, SSL_CERT_FILE names its certificate"
        }
        _ => "look at merchant.base_url, and whether the API is there",
    };
    Finding::failed(check, told(error), advice)
}

async fn token_accounts(rpc: &Rpc, target: &Target, decimals: Option<Decimals>) -> Finding {
    let check = format!("token accounts for {}", target.symbol);
    match watched_accounts(rpc, target).await {
        Ok(found) => match wrong_decimals(&check, decimals, &found) {
            Some(wrong) => wrong,
            None => found_accounts(rpc, check, target, found).await,
        },
        Err(error @ solana::Unwatchable::NotAWallet(..)) => Finding::failed(
            check,
            told(error),
            "nothing is watched for it: correct the recipient where the API keeps it, or in watch.tokens",
        ),
        Err(error @ solana::Unwatchable::NoSuchMint(_)) => Finding::failed(
            check,
            told(error),
            "the API lists a token of another network than the nodes': check both",
        ),
        Err(error) => Finding::failed(check, told(error), "see what was found of the nodes above"),
    }
}

/// Fails where the API tells other decimal places than the mint has.
fn wrong_decimals(check: &str, told: Option<Decimals>, found: &Found) -> Option<Finding> {
    let (told, real) = (told?, found.accounts.first()?.decimals);
    (told != real).then(|| {
        let (told, real) = (told.places(), real.places());
        Finding::failed(
            check,
            format!("the API tells {told} decimal places, the mint has {real}"),
            "QR codes and links ask wallets for a wrong amount: correct `decimals` where the API keeps it",
        )
    })
}

/// Wallets pay into the associated token account: without it many cannot pay at all.
async fn found_accounts(rpc: &Rpc, check: String, target: &Target, found: Found) -> Finding {
    match rpc.exists(found.associated).await {
        Ok(true) => {}
        Ok(false) => return missing_account(check, target, found.associated),
        Err(error) => {
            return Finding::warning(
                check,
                told(error),
                "whether the token account exists is not known; see what was found of the nodes above",
            );
        }
    }
    match found.unlisted {
        None => Finding::ok(check, some_of(&found)),
        Some(error) => Finding::warning(
            check,
            format!("{} (associated); {}", found.associated, told(error)),
            "payments into other token accounts of the wallet are not found: name a node that serves getTokenAccountsByOwner",
        ),
    }
}

fn missing_account(check: String, target: &Target, account: TokenAccount) -> Finding {
    let (mint, wallet) = (target.mint, target.wallet);
    Finding::warning(
        check,
        format!("{account} does not exist yet: wallets that do not make it cannot pay"),
        format!(
            "make it once: spl-token create-account {mint} --owner {wallet} --fee-payer KEYPAIR"
        ),
    )
}

/// The accounts, the associated one first; where others made many of them, the first few.
fn some_of(found: &Found) -> String {
    const SHOWN_MAX: usize = 8;
    let accounts = found.accounts.iter().map(|one| one.token_account);
    let others = accounts.filter(|account| *account != found.associated);
    let all: Vec<_> = std::iter::once(found.associated).chain(others).collect();
    let shown = all.iter().take(SHOWN_MAX).map(ToString::to_string);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN_MAX) + found.left_out {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn told(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
