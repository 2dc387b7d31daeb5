//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for every connection there can be.
const WANTED: u64 = 65_536;

/// The soft limit of open file descriptors.
#[must_use]
pub fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit as far as it is wanted and the hard limit allows. A failure is logged: the bounds of each server fit the
/// limit that is in force.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = raised(&limit) else {
        return;
    };
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, wanted, "the limit of open files cannot be raised");
    }
}

/// The soft limit to set; `None` where it is high enough.
fn raised(limit: &Rlimit) -> Option<u64> {
    let current = limit.current?;
    let wanted = WANTED.min(limit.maximum.unwrap_or(WANTED));
    (wanted > current).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_grows_up_to_the_hard_one_and_never_shrinks() {
        for (current, maximum, expected) in [
            (Some(1_024), Some(524_288), Some(WANTED)),
            (Some(1_024), Some(4_096), Some(4_096)),
            (Some(1_024), None, Some(WANTED)),
            (Some(4_096), Some(4_096), None),
            (Some(1_000_000), Some(1_000_000), None),
            (None, None, None),
        ] {
            let limit = Rlimit { current, maximum };
            assert_eq!(raised(&limit), expected, "{limit:?}");
        }
    }
}
