//! What every page has around its contents.

use super::session::Session;
use crate::store;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

/// A page. Its live part is sent again whenever it changes.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) session: Option<&'a Session>,
    pub(super) above: Markup,
    pub(super) live: Markup,
    pub(super) below: Markup,
}

impl Page<'_> {
    pub(super) fn render(self) -> Markup {
        let body = html! {
            (self.above)
            div #live { (self.live) }
            (self.below)
        };
        document(self.title, self.session, &body)
    }
}

const ROOMS: [(&str, &str); 3] = [
    ("/", "Now"),
    ("/payments", "Payments"),
    ("/needs-a-person", "Needs a person"),
];

/// A document with the header of all pages.
pub(super) fn document(title: &str, session: Option<&Session>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(&format!("{title} · paywatch")))
            }
            body {
                header {
                    a.brand href="/" { "paywatch" }
                    nav aria-label="Pages" {
                        @for (path, name) in ROOMS {
                            a href=(path) aria-current=[(name == title).then_some("page")] { (name) }
                        }
                    }
                    @if let Some(session) = session {
                        form.sign-out method="post" action="/sign-out" {
                            span { (session.name) }
                            button { "Sign out" }
                        }
                    }
                }
                main {
                    h1 { (title) }
                    (body)
                }
            }
        }
    }
}

/// What every head has.
pub(super) fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) }
        link rel="stylesheet" href="/style.css";
        script src="/live.js" defer {}
    }
}

/// A page that says one thing.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    (status, document(title, None, &html! { p { (text) } })).into_response()
}

/// Why a page could not be made.
pub(super) struct Broken(store::Error);

impl From<store::Error> for Broken {
    fn from(error: store::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Broken {
    fn into_response(self) -> Response {
        let error = format!("{:#}", anyhow::Error::new(self.0));
        tracing::warn!(error, "a page could not be made");
        let text = "The database fails; the daemon's log says how. Nothing is lost: what is on chain is swept again.";
        message(StatusCode::SERVICE_UNAVAILABLE, "The database fails", text)
    }
}
