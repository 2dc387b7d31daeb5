//! What a person sees of a running daemon in a real browser, and may do there.

use crate::support::{Browser, Child, World, eventually};
use reqwest::{Client, StatusCode, header, redirect};

/// A daemon whose actions are on, and the root of its pages.
async fn with_token(world: &World) -> (Child, String) {
    let file = world.folder.path().join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let daemon = world
        .watch(&[("OPS__TOKEN_FILE", file.to_str().unwrap())])
        .await;
    let root = daemon.ops().await;
    (daemon, root)
}

async fn sign_in(browser: &Browser, token: &str) {
    browser.fill("name", "Ann").await;
    browser.fill("token", token).await;
    browser.click("Sign in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_appears_while_one_looks_on_and_is_explained() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let browser = Browser::open(&daemon.ops().await).await;
    browser.goto("/").await;
    browser.sees("All is well").await;
    browser.goto("/payments").await;
    browser.sees("No payments").await;
    let (checkout, signature) = world.buy().await;
    browser.sees("acknowledged").await;
    browser.sees("19 USDC").await;
    browser.sees(&checkout.memo).await;
    let base = "return document.querySelector('.amount').title";
    assert_eq!(browser.evaluate(base).await, "19000000 base units");
    browser.picture("payments").await;
    browser.click("…").await;
    browser.sees(&signature.to_string()).await;
    browser.sees("judged: matched").await;
    browser.sees("told the API: status 200").await;
    // As `paywatch explain`, before or after the API's history shows it as confirmed.
    browser.sees("19 USDC arrived").await;
    let explorer = "return document.querySelector('dd a').href";
    assert_eq!(
        browser.evaluate(explorer).await,
        format!("https://explorer.solana.com/tx/{signature}")
    );
    browser.picture("payment").await;
    browser.goto("/").await;
    browser.sees("1 recorded, 1 confirmed").await;
    browser.picture("now").await;
    let search = format!("/payments?q={}", checkout.memo.to_uppercase());
    browser.goto(&search).await;
    browser.sees("19 USDC").await;
    browser.goto("/payments?state=held").await;
    browser.sees("No payments").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_token_decides_and_nobody_else() {
    let world = World::new().await;
    let (_daemon, root) = with_token(&world).await;
    let checkout = world.checkout(&world.usdc).await;
    let other = world.checkout(&world.usdc).await;
    let mut payment = world.payment(checkout.amount, &checkout.memo);
    payment.memos_after.push(other.memo);
    let signature = world.net.pay(&payment).await.unwrap();
    world.wait_verdict(signature, "several_checkouts").await;
    let browser = Browser::on_a_phone(&root).await;
    browser.goto("/needs-a-person").await;
    browser.sees("Your name").await;
    sign_in(&browser, "a guess").await;
    browser.sees("That is not the token").await;
    sign_in(&browser, "open sesame").await;
    browser.sees("The memos name two or more checkouts").await;
    browser.picture("needs-a-person").await;
    browser.click("Confirm for a checkout").await;
    browser.sees("This cannot be taken back here").await;
    browser.fill("checkout", "no such checkout").await;
    browser.fill("reason", "the buyer wrote to us").await;
    browser.picture("decide").await;
    browser.click("Confirm for a checkout").await;
    browser.sees("no checkout with the memo").await;
    assert!(world.calls().await.is_empty());
    browser.fill("checkout", &checkout.memo).await;
    browser.click("Confirm for a checkout").await;
    browser.sees("by Ann: the buyer wrote to us").await;
    // The page that is sent back to keeps itself up to date.
    browser.sees("told the API: status 200").await;
    world.wait_confirmed(&checkout, signature).await;
    browser.goto("/needs-a-person").await;
    browser.sees("Nothing needs a person").await;
    browser.click("Sign out").await;
    browser.sees("Your name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_memos_are_shown_and_do_nothing() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let memo =
        "a\u{202e}<script>document.title='taken'</script>\"'><img src=x onerror=\"x()\">&amp;";
    let signature = world.pay(7, memo).await;
    world.wait_verdict(signature, "unknown_memo").await;
    let browser = Browser::open(&daemon.ops().await).await;
    for path in [
        "/payments".to_owned(),
        "/needs-a-person".to_owned(),
        format!("/payments/{signature}"),
    ] {
        browser.goto(&path).await;
        browser.sees("<script>").await;
        // The live part was sent once more, into the running page.
        eventually("it is connected", async || {
            let counted =
                browser.evaluate("return performance.getEntriesByType('resource').length");
            counted.await.as_u64() > Some(1)
        })
        .await;
        let made = "return document.querySelectorAll('main img, main script').length";
        assert_eq!(browser.evaluate(made).await, 0);
        let title = browser.evaluate("return document.title").await;
        assert!(title.as_str().unwrap().ends_with("· paywatch"), "{title}");
    }
    browser.sees("\\u{202e}").await;
    browser.picture("hostile").await;
    // Even if something got through, the browser would not run it.
    let inject = "const made = document.createElement('script'); made.textContent = 'document.title = \"taken\"'; \
        document.body.append(made); return document.title";
    assert_ne!(browser.evaluate(inject).await, "taken");
}

/// A client that keeps its cookies itself and goes nowhere by itself.
fn plain() -> Client {
    let builder = Client::builder().redirect(redirect::Policy::none());
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_guarded_without_a_browser_s_help() {
    let world = World::new().await;
    let (_daemon, root) = with_token(&world).await;
    let held = world.one_confirmed_one_held().await;
    let account = &world.recorded(held).await[0].token_account;
    let http = plain();
    let get = async |path: &str, cookie: &str| {
        let request = http.get(format!("{root}{path}"));
        request.header(header::COOKIE, cookie).send().await.unwrap()
    };
    for path in ["/", "/payments", "/payments.csv", "/needs-a-person"] {
        let answer = get(path, "").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert!(!answer.text().await.unwrap().contains("nobody-knows"));
    }
    let post = async |path: &str, cookie: &str, form: &str, from: &str| {
        let request = http.post(format!("{root}{path}")).body(form.to_owned());
        request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookie)
            .header("sec-fetch-site", from)
            .send()
            .await
            .unwrap()
    };
    let dismiss = format!("/payments/{held}/{account}/dismiss");
    let answer = post(&dismiss, "", "form=&reason=no", "same-origin").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let right = "name=Ann&token=open+sesame&next=%2Fpayments";
    let answer = post("/sign-in", "", right, "cross-site").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let answer = post("/sign-in", "", right, "same-origin").await;
    assert_eq!(answer.headers()[header::LOCATION], "/payments");
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
    for word in ["HttpOnly", "SameSite=Strict", "Max-Age="] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    let answer = get("/payments", cookie).await;
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(answer.text().await.unwrap().contains("nobody-knows"));
    // Signed in, but with no form of this session.
    let answer = post(&dismiss, cookie, "form=x&reason=no", "same-origin").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let form = get(&dismiss, cookie).await.text().await.unwrap();
    let tag = form.split("name=\"form\" value=\"").nth(1).unwrap();
    let tag = tag.split('"').next().unwrap();
    let answer = post(
        &dismiss,
        cookie,
        &format!("form={tag}&reason=+"),
        "same-origin",
    )
    .await;
    assert_eq!(
        answer.status(),
        StatusCode::CONFLICT,
        "a reason is asked for"
    );
    assert_eq!(world.recorded(held).await[0].state.as_str(), "held");
    let form = format!("form={tag}&reason=refunded");
    let answer = post(&dismiss, cookie, &form, "same-origin").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(world.recorded(held).await[0].state.as_str(), "dismissed");

    let csv = get("/payments.csv?verdict=unknown_memo", cookie)
        .await
        .text()
        .await
        .unwrap();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(lines[0].starts_with("seen_at,state,") && lines[1].contains("nobody-knows"));
    for (path, expected) in [
        ("/payments?state=lost", StatusCode::BAD_REQUEST),
        ("/payments/not-a-signature", StatusCode::BAD_REQUEST),
        (
            &format!("/payments/{}", localnet::Signature::default()),
            StatusCode::NOT_FOUND,
        ),
        (
            &format!("/payments/{held}/{account}/steal"),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        assert_eq!(get(path, cookie).await.status(), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_one_looks_and_does_nothing() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let root = daemon.ops().await;
    let held = world.one_confirmed_one_held().await;
    let account = &world.recorded(held).await[0].token_account;
    let http = plain();
    let request = http.get(format!("{root}/payments"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let elsewhere = http
        .get(format!("{root}/payments"))
        .header(header::HOST, "evil.example");
    assert_eq!(
        elsewhere.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let url = format!("{root}/payments/{held}/{account}/dismiss");
    assert_eq!(
        http.get(&url).send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let act = http.post(&url).form(&[("form", "x"), ("reason", "no")]);
    assert_eq!(act.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(world.recorded(held).await[0].state.as_str(), "held");
    // Those who look on do not keep a daemon that is told to stop.
    let stream = http.get(&root).header(header::ACCEPT, "text/event-stream");
    let mut looking_on = stream.send().await.unwrap();
    assert_eq!(
        looking_on.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let sent = looking_on.chunk().await.unwrap().unwrap();
    assert!(sent.starts_with(b"data: "));
    assert!(daemon.terminate().success());
}
