//! Who is signed in. Whoever knows `ops.token_file`'s token is given a cookie; what is in it is signed with that token, so
//! that nothing need be remembered here, and a new token signs everybody out.

use super::super::Shared;
use super::frame::{document, message};
use crate::clock;
use crate::domain::{Timestamp, visible};
use crate::merchant::Secret;
use axum::{
    Form,
    extract::{Query, Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{COOKIE, HOST, SET_COOKIE},
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use maud::{Markup, html};
use ring::hmac::{self, HMAC_SHA256};
use serde::Deserialize;
use std::{net::IpAddr, time::Duration};

const COOKIE_NAME: &str = "paywatch_session";
const LASTS: Duration = Duration::from_hours(12);
/// Longest name that is put on record.
const NAME_MAX: usize = 64;
/// What a wrong token costs.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody who knew the token.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Under which their decisions go on record.
    pub(super) name: String,
    /// What was signed.
    claim: String,
}

fn key(token: &Secret) -> hmac::Key {
    hmac::Key::new(HMAC_SHA256, token.expose().as_bytes())
}

impl Session {
    /// Returns the session and the cookie's value.
    fn begin(token: &Secret, name: String, now: Timestamp) -> (Self, String) {
        let claim = format!("{}.{}", now.plus(LASTS).0, BASE64.encode(&name));
        let tag = BASE64.encode(hmac::sign(&key(token), claim.as_bytes()));
        let cookie = format!("{claim}.{tag}");
        (Self { name, claim }, cookie)
    }

    fn of(token: &Secret, headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        let cookies = headers.get_all(COOKIE).iter();
        let mut pairs = cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(';'));
        let cookie = pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE_NAME).then_some(value)
        })?;
        let (claim, tag) = cookie.rsplit_once('.')?;
        let tag = BASE64.decode(tag).ok()?;
        hmac::verify(&key(token), claim.as_bytes(), &tag).ok()?;
        let (until, name) = claim.split_once('.')?;
        let is_over = Timestamp(until.parse().ok()?) < now;
        let name = String::from_utf8(BASE64.decode(name).ok()?).ok()?;
        (!is_over).then(|| Self {
            name,
            claim: claim.to_owned(),
        })
    }

    /// What a form of this session carries, and no other site can know.
    pub(super) fn form_tag(&self, token: &Secret) -> String {
        BASE64.encode(hmac::sign(&key(token), self.form_claim().as_bytes()))
    }

    /// Whether a form was made for this session.
    pub(super) fn made(&self, token: &Secret, form_tag: &str) -> bool {
        BASE64
            .decode(form_tag)
            .is_ok_and(|tag| hmac::verify(&key(token), self.form_claim().as_bytes(), &tag).is_ok())
    }

    fn form_claim(&self) -> String {
        format!("form {}", self.claim)
    }
}

/// Lets in who is signed in. Without a token whoever is on this machine may look, under no name that another site could have
/// pointed here.
pub(super) async fn guard(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = &shared.pipeline.config.ops.token else {
        return if is_own_name(request.headers()) {
            next.run(request).await
        } else {
            message(
                StatusCode::FORBIDDEN,
                "Under another name",
                "Without ops.token_file these pages are shown under localhost or an IP address alone.",
            )
        };
    };
    if let Some(session) = Session::of(token, request.headers(), clock::now()) {
        request.extensions_mut().insert(session);
        return next.run(request).await;
    }
    let wanted = request
        .uri()
        .path_and_query()
        .map_or("/", |uri| uri.as_str());
    if request.method().is_safe() {
        let next: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        Redirect::to(&format!("/sign-in?next={next}")).into_response()
    } else {
        message(
            StatusCode::UNAUTHORIZED,
            "Not signed in",
            "Nothing was done. Sign in, and decide again.",
        )
    }
}

fn is_own_name(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    name: String,
    token: String,
    next: Option<String>,
}

pub(super) async fn form(State(shared): State<Shared>, Query(wanted): Query<Wanted>) -> Response {
    if shared.pipeline.config.ops.token.is_none() {
        return message(
            StatusCode::NOT_FOUND,
            "Actions are off",
            "Set ops.token_file and restart paywatch; then sign in here with the token in that file.",
        );
    }
    sign_in_page(wanted.next.as_deref(), "").into_response()
}

pub(super) async fn sign_in(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Form(given): Form<SignIn>,
) -> Response {
    let name: String = visible(given.name.trim()).chars().take(NAME_MAX).collect();
    let token = shared.pipeline.config.ops.token.as_ref();
    let Some(token) = token.filter(|token| token.is(given.token.trim()) && !name.is_empty()) else {
        tokio::time::sleep(PAUSE).await;
        let why = "That is not the token in ops.token_file, or no name was given.";
        let page = sign_in_page(given.next.as_deref(), why);
        return (StatusCode::UNAUTHORIZED, page).into_response();
    };
    let (_, cookie) = Session::begin(token, name, clock::now());
    let is_tls = headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https");
    let secure = if is_tls { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE_NAME}={cookie}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        LASTS.as_secs()
    );
    let next = Redirect::to(own_path(given.next.as_deref()));
    ([(SET_COOKIE, cookie)], next).into_response()
}

pub(super) async fn sign_out() -> impl IntoResponse {
    let gone = format!("{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    ([(SET_COOKIE, gone)], Redirect::to("/"))
}

/// Where to go on: a path of this server, whatever was asked.
fn own_path(next: Option<&str>) -> &str {
    next.filter(|path| path.starts_with('/') && !path.starts_with("//") && !path.contains('\\'))
        .unwrap_or("/")
}

fn sign_in_page(next: Option<&str>, why: &str) -> Markup {
    document(
        "Sign in",
        None,
        &html! {
            @if !why.is_empty() {
                p.problem role="alert" { (why) }
            }
            form.card method="post" action="/sign-in" {
                input type="hidden" name="next" value=(own_path(next));
                label {
                    "Your name" small { "Stays on record beside what you decide." }
                    input name="name" required maxlength=(NAME_MAX) autocomplete="username" autofocus;
                }
                label {
                    "Token" small { "What is in the file of ops.token_file." }
                    input name="token" type="password" required autocomplete="current-password";
                }
                button.main { "Sign in" }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(header: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header, value.parse().unwrap())])
    }

    #[test]
    fn only_what_the_token_signed_is_a_session_and_not_for_ever() {
        let (token, now) = (Secret::new("secret"), Timestamp(1_000_000));
        let (session, value) = Session::begin(&token, "Ann O. Person".into(), now);
        let of = |token: &Secret, value: &str, now| {
            let headers = with(COOKIE, &format!("a=b; {COOKIE_NAME}={value}; c=d"));
            Session::of(token, &headers, now).map(|session| session.name)
        };
        assert_eq!(of(&token, &value, now).as_deref(), Some("Ann O. Person"));
        assert_eq!(of(&Secret::new("other"), &value, now), None);
        assert_eq!(of(&token, &value, now.plus(LASTS * 2)), None);
        assert_eq!(of(&token, &value.replacen('1', "2", 1), now), None);
        assert_eq!(of(&token, "", now), None);
        let tag = session.form_tag(&token);
        assert!(session.made(&token, &tag));
        assert!(!session.made(&Secret::new("other"), &tag));
        let (other, value) = Session::begin(&token, "Bob".into(), now);
        assert!(!other.made(&token, &tag));
        let cookies_tag = value.rsplit_once('.').unwrap().1;
        assert!(!other.made(&token, cookies_tag), "a form's is another one");
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:9464", true),
            ("localhost", true),
            ("LOCALHOST:80", true),
            ("[::1]:9464", true),
            ("192.0.2.7:1", true),
            ("evil.example:9464", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_own_name(&with(HOST, host)), expected, "{host}");
        }
    }

    #[test]
    fn one_is_sent_on_to_own_paths_alone() {
        for (next, expected) in [
            ("/payments?state=held", "/payments?state=held"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
        ] {
            assert_eq!(own_path(Some(next)), expected);
        }
    }
}
