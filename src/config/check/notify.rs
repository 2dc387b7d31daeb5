//! `[notify]`

use super::Check;
use crate::config::raw;
use crate::merchant::Secret;
use crate::notify::{Event, Format, Settings, signing_key};

/// The old secret and the new one.
const SECRETS_MAX: usize = 2;

impl Check {
    /// `None` where nobody is to be told, as after a fault.
    pub(super) fn notify(&mut self, raw: &raw::Notify) -> Option<Settings> {
        let url =
            (!raw.url.is_empty()).then(|| self.url("notify.url", &raw.url, &["http", "https"]));
        let format = self.either(
            "notify.format",
            &raw.format,
            [("standard", Format::Standard), ("slack", Format::Slack)],
        );
        let file = self.secret(
            ("notify.secret", ""),
            ("notify.secret_file", &raw.secret_file),
        );
        let secrets: Vec<_> = file.iter().flat_map(each_line).collect();
        let all_sign = secrets.iter().all(|secret| signing_key(secret).is_some());
        if secrets.len() > SECRETS_MAX || !all_sign {
            let allowed = "a file that holds a secret, or two on lines of their own while they are exchanged: base64 of 24 to 64 bytes each, after \"whsec_\" or without";
            self.fault(
                "notify.secret_file",
                "another text in it (not shown)",
                allowed,
            );
        }
        let is_unsigned = url.is_some() && format == Some(Format::Standard) && secrets.is_empty();
        if is_unsigned && raw.secret_file.is_empty() {
            let allowed = "a file with the signing secret, where notify.format is \"standard\"";
            self.fault("notify.secret_file", "nothing", allowed);
        }
        let events = raw.events.iter().map(|word| {
            let event = word.parse().ok();
            let allowed =
                "confirmed, held, parked, uncredited, dropped, key_refused, not_ready, recovered; none for all";
            self.some("notify.events", word, allowed, event)
        });
        let events: Vec<_> = events.collect();
        let events: Option<Vec<Event>> = events.into_iter().collect();
        let events = events.map(|some| {
            if some.is_empty() {
                Event::ALL.to_vec()
            } else {
                some
            }
        });
        let held_after = self.duration("notify.held_after", &raw.held_after);
        let health_after = self.duration("notify.health_after", &raw.health_after);
        Some(Settings {
            url: url??,
            format: format?,
            secrets,
            events: events?.into_iter().collect(),
            held_after: held_after?,
            health_after: health_after?,
        })
    }
}

/// The secrets of a file; lines without one do not count.
fn each_line(file: &Secret) -> Vec<Secret> {
    let lines = file.expose().lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(Secret::new)
        .collect()
}
