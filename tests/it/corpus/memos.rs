//! What memos can be: three programs, any bytes, anywhere.

use super::case::{Case, DUE, Said, memo};
use super::fixture::Landed;
use super::studio::Studio;
use localnet::{AccountMeta, Version};

pub(super) async fn land(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let matched = |case: Case| case.matched(cast.shop_usdc, DUE, Some(cast.buyer));
    let held = |case: Case, reason| case.held(cast.shop_usdc, DUE, Some(cast.buyer), reason);
    let case = |name, about: &str| studio.case(name, about).send(cast.pays(DUE));
    studio.deploy_memo(Said::V1).await;
    studio.deploy_memo(Said::V4).await;

    let mut all = Vec::new();
    for (name, program) in [("memo-v1", Said::V1), ("memo-v4", Said::V4)] {
        let case = case(name, "A memo of another program than most wallets use");
        let bytes = case.memo.clone().into_bytes();
        all.push(studio.land(matched(case.say_bytes(program, &bytes))).await);
    }
    let signed = {
        let case = case("memo-signed", "A memo that the buyer signs");
        let bytes = case.memo.clone().into_bytes();
        let mut said = memo(Said::V3, &bytes);
        said.accounts
            .push(AccountMeta::new_readonly(cast.buyer, true));
        case.hears(Said::V3, &bytes, 0).step(said)
    };
    all.push(studio.land(matched(signed)).await);
    all.push(
        studio
            .land(matched(
                case("memo-after", "The memo after the transfer").say(),
            ))
            .await,
    );
    all.push(
        studio
            .land(matched(
                case("memo-two", "Another memo beside that of the checkout")
                    .say_text("thank you")
                    .say(),
            ))
            .await,
    );
    all.push(
        studio
            .land(held(
                case("memo-none", "No memo at all").with("why", "carries no memo"),
                "no_memo",
            ))
            .await,
    );
    all.push(
        studio
            .land(held(
                case("memo-empty", "A memo instruction without a byte")
                    .with("why", "memo is empty")
                    .say_text(""),
                "no_memo",
            ))
            .await,
    );
    all.push(
        studio
            .land(held(
                case("memo-unknown", "A memo that no checkout has").say_text("invoice 7"),
                "unknown_memo",
            ))
            .await,
    );

    // The same memo in other clothes.
    let upper = case("memo-upper-case", "The checkout's memo in upper case");
    let text = upper.memo.to_uppercase();
    all.push(studio.land(matched(upper.say_text(&text))).await);
    let padded = case(
        "memo-padded",
        "White space and NULs around the checkout's memo",
    );
    let text = format!(" \t{}\r\n\0\0", padded.memo);
    all.push(studio.land(matched(padded.say_text(&text))).await);
    let quoted = case(
        "memo-quoted",
        "Quotes around the checkout's memo make another memo of it",
    );
    let text = format!("\"{}\"", quoted.memo);
    all.push(
        studio
            .land(held(quoted.say_text(&text), "unknown_memo"))
            .await,
    );

    // Hostile text: it names no checkout, and must be shown harmlessly.
    for (name, about, text) in [
        (
            "memo-line-breaks",
            "Line breaks and something that looks like a log line",
            "paid\n{\"level\":\"info\"} payment confirmed\r\n",
        ),
        ("memo-nuls", "NULs inside", "a\0b\0c"),
        (
            "memo-emoji",
            "Emoji and text from right to left",
            "🍕 \u{202e}drawkcab\u{202c} עברית",
        ),
        (
            "memo-terminal-codes",
            "Codes that would clear a terminal",
            "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m",
        ),
        (
            "memo-markup",
            "Markup and SQL",
            "<script>alert(1)</script>'; DROP TABLE payments;--",
        ),
        (
            "memo-json-quotes",
            "A JSON string that ends early",
            "\", \"status\": 1, \"x\": \"\\",
        ),
    ] {
        all.push(
            studio
                .land(held(case(name, about).say_text(text), "unknown_memo"))
                .await,
        );
    }
    let long = "x".repeat(566);
    all.push(
        studio
            .land(held(
                case(
                    "memo-566-bytes",
                    "566 bytes, the most that fits beside a signature in an old memo",
                )
                .say_text(&long),
                "unknown_memo",
            ))
            .await,
    );
    let longest = "y".repeat(3_500);
    let longest = held(
        case(
            "memo-v1-transaction-3500-bytes",
            "3,500 bytes in a version 1 transaction",
        )
        .say_text(&longest),
        "unknown_memo",
    );
    all.push(
        studio
            .land_as(longest, Version::V1, &studio.buyer, &[])
            .await,
    );
    all.push(
        studio
            .land(
                case(
                    "memo-not-utf8-failed",
                    "Bytes that are no text: the memo program fails the transaction",
                )
                .say_bytes(Said::V3, &[0xff, 0xfe, 0x00])
                .with("failed", true)
                .sees_nothing(),
            )
            .await,
    );
    all.push(
        studio
            .land(
                case(
                    "failed-with-memo",
                    "It pays, names the checkout, and then fails as a whole",
                )
                .with("why", "failed on chain")
                .say()
                .send(cast.pays(u64::MAX))
                .with("failed", true)
                .sees_nothing(),
            )
            .await,
    );
    all
}
