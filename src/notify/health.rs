//! Damps what people are told of the daemon's health: a change is told once it has lasted, so that readiness that comes and goes is
//! no stream of notices.

use crate::domain::Timestamp;
use crate::store::{Health, Lasting};
use std::time::Duration;

/// "Ready again" must last so many times as long as "not ready" before it is told: a flapping daemon counts as not ready.
const RECOVERY: u32 = 4;

/// What lasts now, and what is to be told if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damped {
    pub(super) lasting: Lasting,
    pub(super) news: Option<Health>,
}

/// `told` is what people heard last, `before` what lasted until now, `seen` what is true now, and `after` how long "not ready" must
/// last before it is told.
pub(super) fn damp(
    told: Health,
    before: Option<Lasting>,
    seen: Health,
    now: Timestamp,
    after: Duration,
) -> Damped {
    let since = before
        .filter(|before| goes_on(told, before.health, seen))
        // A clock that was put back: nothing began in the future.
        .map_or(now, |before| before.since.min(now));
    let must_last = match seen {
        Health::Recovered => after.saturating_mul(RECOVERY),
        Health::NotReady | Health::KeyRefused => after,
    };
    let is_news = seen != told && now.since(since) >= must_last;
    Damped {
        lasting: Lasting {
            health: seen,
            since,
        },
        news: is_news.then_some(seen),
    }
}

/// As long as nobody has heard that it is not ready, one reason may take the place of the other.
fn goes_on(told: Health, before: Health, seen: Health) -> bool {
    let both_bad = before != Health::Recovered && seen != Health::Recovered;
    before == seen || (told == Health::Recovered && both_bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{KeyRefused, NotReady, Recovered};

    const AFTER: Duration = Duration::from_secs(30);

    /// Goes through states that begin at these seconds, looks each second, and returns what is told and when.
    fn told(states: &[(u64, Health)], until: u64) -> Vec<(u64, Health)> {
        let at = |second: u64| Timestamp(1_000_000_000_000).plus(Duration::from_secs(second));
        let (mut told, mut lasting, mut all) = (Recovered, None, Vec::new());
        for second in 0..until {
            let begun = states.iter().take_while(|(from, _)| *from <= second);
            let (_, seen) = begun.last().unwrap();
            let damped = damp(told, lasting, *seen, at(second), AFTER);
            lasting = Some(damped.lasting);
            if let Some(news) = damped.news {
                told = news;
                all.push((second, news));
            }
        }
        all
    }

    #[test]
    fn what_lasts_is_told_once_and_what_comes_and_goes_is_not() {
        let flaps: Vec<_> = (0..100)
            .map(|flap| (flap * 20, if flap % 2 == 0 { Recovered } else { NotReady }))
            .collect();
        assert_eq!(told(&flaps, 2_000), [], "never 30 s");
        let outage = [(0, Recovered), (100, NotReady), (500, Recovered)];
        assert_eq!(told(&outage, 2_000), [(130, NotReady), (620, Recovered)]);
        // 40 s of each: one outage, told as over when it is.
        let mut slow: Vec<_> = (0..40)
            .map(|flap| (flap * 40, if flap % 2 == 0 { Recovered } else { NotReady }))
            .collect();
        slow.push((1_600, Recovered));
        assert_eq!(told(&slow, 3_000), [(70, NotReady), (1_720, Recovered)]);
    }

    #[test]
    fn reasons_that_alternate_are_one_outage_and_a_reason_that_lasts_is_told_too() {
        let both: Vec<_> = (0..20)
            .map(|turn| (turn * 10, if turn % 2 == 0 { NotReady } else { KeyRefused }))
            .collect();
        assert_eq!(told(&both, 200), [(30, KeyRefused)]);
        let one_then_the_other = [(0, NotReady), (100, KeyRefused)];
        let expected = [(30, NotReady), (130, KeyRefused)];
        assert_eq!(told(&one_then_the_other, 500), expected);
    }

    #[test]
    fn a_clock_that_is_put_back_delays_no_news() {
        let at = |second: u64| Timestamp(0).plus(Duration::from_secs(second));
        let ahead = Lasting {
            health: NotReady,
            since: at(10_000),
        };
        let first = damp(Recovered, Some(ahead), NotReady, at(1_000), AFTER);
        assert_eq!((first.lasting.since, first.news), (at(1_000), None));
        let later = damp(Recovered, Some(first.lasting), NotReady, at(1_030), AFTER);
        assert_eq!(later.news, Some(NotReady));
    }
}
