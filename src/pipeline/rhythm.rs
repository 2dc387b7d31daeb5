//! How often history is swept: as configured; more seldom while every WebSocket is open and sweeps bring nothing that was not heard.
//!
//! A sweep costs a request for each token account whether or not somebody paid. It finds what sockets miss; as long as they miss
//! nothing, it may wait. The first sign of trouble brings the configured interval back.

use std::{
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    time::Duration,
};

/// Shared by the listeners, who know how the sockets are, and the sweep.
#[derive(Debug)]
pub(super) struct Rhythm {
    sockets: usize,
    open: AtomicUsize,
    /// The configured interval is stretched by this.
    stretch: AtomicU32,
}

impl Rhythm {
    const STRETCH_MAX: u32 = 4;

    /// For so many sockets.
    pub(super) fn new(sockets: usize) -> Self {
        Self {
            sockets,
            open: AtomicUsize::new(0),
            stretch: AtomicU32::new(1),
        }
    }

    /// How many sockets are open, of so many.
    pub(super) fn open_sockets(&self) -> (usize, usize) {
        (self.open.load(Ordering::Relaxed), self.sockets)
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.stretch.store(1, Ordering::Relaxed);
    }

    /// A sweep failed, or ended and found so many payments that nobody had heard of.
    pub(super) fn swept(&self, unheard: Option<usize>) {
        let is_well = self.sockets > 0 && self.open.load(Ordering::Relaxed) >= self.sockets;
        let stretch = self.stretch.load(Ordering::Relaxed);
        let stretch = if is_well && unheard == Some(0) {
            Self::STRETCH_MAX.min(stretch * 2)
        } else {
            1
        };
        self.stretch.store(stretch, Ordering::Relaxed);
    }

    /// How long to wait for the next sweep.
    pub(super) fn pause(&self, every: Duration) -> Duration {
        every.saturating_mul(self.stretch.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_are_seldom_only_while_every_socket_brings_everything() {
        let every = Duration::from_secs(15);
        let rhythm = Rhythm::new(2);
        let after = |unheard| {
            rhythm.swept(unheard);
            rhythm.pause(every).as_secs()
        };
        rhythm.opened();
        assert_eq!(after(Some(0)), 15, "one socket is missing");
        rhythm.opened();
        assert_eq!(
            [after(Some(0)), after(Some(0)), after(Some(0))],
            [30, 60, 60]
        );
        assert_eq!(after(Some(1)), 15, "a socket missed a payment");
        assert_eq!(after(Some(0)), 30);
        assert_eq!(after(None), 15, "the sweep failed");
        assert_eq!([after(Some(0)), after(Some(0))], [30, 60]);
        rhythm.closed();
        assert_eq!(rhythm.pause(every), every);
        let deaf = Rhythm::new(0);
        deaf.swept(Some(0));
        assert_eq!(
            deaf.pause(every),
            every,
            "nothing but the sweep finds anything"
        );
    }
}
