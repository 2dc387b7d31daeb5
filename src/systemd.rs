//! Words to systemd, where it listens (`NOTIFY_SOCKET`): ready, alive, stopping. Without it they are no-ops.

use sd_notify::NotifyState;
use std::time::Duration;

/// Start-up is over.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Draining has begun.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Still alive.
pub fn alive() {
    tell(NotifyState::Watchdog);
}

/// How often systemd wants to hear [`alive`], with room to spare; `None` = never.
#[must_use]
pub fn alive_every() -> Option<Duration> {
    let mut micros = 0;
    sd_notify::watchdog_enabled(false, &mut micros).then(|| Duration::from_micros(micros / 3))
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(false, &[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
