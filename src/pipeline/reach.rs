//! How far back history is recorded, and what is still owed below that.
//!
//! A sweep begins with `watch.look_back`. An older checkout that is pending asks for older history, which is swept then, once. A node that
//! answers with an empty page does not thereby say that the history ends: older history stays owed, in the database, until a listing has
//! really reached it.

use super::Sweep;
use super::ahead::Ahead;
use super::history::{End, Floor, History, Range, list};
use super::sweep::{Swept, is_of_a_node};
use super::walk::Mode;
use crate::clock;
use crate::domain::{Signature, Slot, TokenAccount};
use crate::solana::Rpc;
use crate::store::Reach;
use anyhow::{Context, anyhow};

/// Chains begin at slot 0; test networks begin at slots below this one. A history that begins here begins with its chain.
const GENESIS_MAX: Slot = 64;
/// A history that begins later than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shortfall {
    /// When its first block was made, Unix seconds, if the node says so.
    pub begins_at: Option<i64>,
    /// The slot of its first block, if the node says so.
    pub begins_in: Option<Slot>,
    /// From where it was asked for.
    pub asked_from: Floor,
}

impl Shortfall {
    /// It is not known where the history begins.
    pub(super) fn unclear(asked_from: Floor) -> Self {
        Self {
            begins_at: None,
            begins_in: None,
            asked_from,
        }
    }
}

/// How far down a listing came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) end: End,
    /// The oldest transaction listed: its slot, its time, its signature.
    pub(super) oldest: Option<(Slot, Option<i64>, Signature)>,
}

impl Extent {
    pub(super) fn of(history: &History) -> Self {
        let oldest = history.entries.first();
        Self {
            end: history.end,
            oldest: oldest.map(|entry| (entry.slot, entry.block_time, entry.signature)),
        }
    }

    /// What two listings of one history show together.
    fn and(self, other: Self) -> Self {
        let is_older = match (self.oldest, other.oldest) {
            (Some((slot, ..)), Some((other, ..))) => other < slot,
            (None, _) => true,
            (_, None) => false,
        };
        Self {
            end: match (self.end, other.end) {
                (End::Empty, End::Empty) => End::Empty,
                _ => End::Floor,
            },
            oldest: if is_older { other.oldest } else { self.oldest },
        }
    }
}

/// History that is older than a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below {
    /// The transaction; without one, history from the newest on.
    pub(super) before: Option<Signature>,
    pub(super) floor: Floor,
    /// Nothing newer is recorded.
    pub(super) newest: Option<Floor>,
}

/// What a listing says of the history down to its floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// It listed a transaction below the floor: all of it was listed.
    Reached,
    /// It listed nothing more, and the node's history goes back to the floor: there is nothing more, if the node is right.
    Claimed,
    /// It listed nothing more, although an older transaction of the account is recorded.
    Contradicted,
    /// An endpoint did not answer, and none of the others listed all of it.
    Unclear,
    /// The node's history begins above the floor.
    Short(Shortfall),
}

/// What all endpoints together say of the history down to its floor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) extent: Extent,
    pub(super) depth: Depth,
    /// Endpoints that did not answer.
    pub(super) unanswered: usize,
}

impl Sweep {
    /// Where the first sweep of an account begins, Unix seconds.
    pub(super) async fn start(&self, account: TokenAccount) -> anyhow::Result<i64> {
        let store = &self.pipeline.store;
        let since = store.watched_since(account, clock::now()).await;
        let since = since.context("read since when it is watched")?;
        let look_back = self.pipeline.config.watch.look_back;
        Ok(since.minus(look_back).unix_seconds())
    }

    /// How far back history is wanted: to the start, and further while an older checkout is pending.
    async fn wanted(&self, account: TokenAccount) -> anyhow::Result<i64> {
        let start = self.start(account).await?;
        let oldest = self.pipeline.store.oldest_pending_at().await;
        let oldest = oldest.context("read the oldest checkout")?;
        Ok(oldest.map_or(start, |at| at.min(start)))
    }

    /// Remembers how far back a listing from the newest transaction down to `floor` came, now that it is recorded.
    pub(super) async fn note_reach(
        &self,
        account: TokenAccount,
        floor: i64,
        extent: &Extent,
    ) -> anyhow::Result<()> {
        let listed_to = extent.oldest.map_or_else(
            || Some(clock::now().unix_seconds()),
            |(_, block_time, _)| block_time,
        );
        let back_to = match extent.end {
            End::Floor => Some(floor),
            End::Empty => listed_to,
        };
        let Some(back_to) = back_to else {
            return Ok(());
        };
        let reach = Reach {
            back_to: back_to.max(floor),
            signature: extent.oldest.map(|(_, _, signature)| signature),
        };
        let store = &self.pipeline.store;
        let extended = store.extend_reach(account, &reach).await;
        extended.context("remember how far back history is recorded")
    }

    /// Sweeps history that is wanted and older than what is recorded, if it is time to ask for it. Nodes that do not list it fail nothing:
    /// they are asked again later.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn sweep_older(&self, account: TokenAccount) -> anyhow::Result<Swept> {
        let (pipeline, wanted) = (&self.pipeline, self.wanted(account).await?);
        let reach = pipeline.store.reach(account).await;
        let reach = reach.context("read how far back history is recorded")?;
        if reach.is_some_and(|reach| reach.back_to <= wanted) {
            pipeline.owing.settle(account);
            return Ok(Swept::default());
        }
        let every = pipeline.config.solana.sweep_every;
        if !pipeline.owing.is_due(account, wanted, every) {
            return Ok(pipeline.owing.shortfall(account));
        }
        let below = Below {
            before: reach.and_then(|reach| reach.signature),
            floor: Floor::Time(wanted),
            newest: None,
        };
        let mut swept = Swept::default();
        match self.walk_below(account, below, &mut swept).await {
            Ok(told) => {
                // An endpoint that did not answer has the whole part before it still.
                if told.extent.oldest.is_some() && told.unanswered == 0 {
                    self.note_reach(account, wanted, &told.extent).await?;
                }
                if pipeline.owing.is_settled_by(account, &told) {
                    let reach = Reach {
                        back_to: wanted,
                        signature: None,
                    };
                    let extended = pipeline.store.extend_reach(account, &reach).await;
                    extended.context("remember how far back history is recorded")?;
                    pipeline.owing.settle(account);
                }
            }
            Err(error) => {
                tracing::warn!(%account, error = format!("{error:#}"), "older history cannot be swept now; it stays owed and is asked for again");
            }
        }
        swept.add(pipeline.owing.shortfall(account));
        Ok(swept)
    }

    /// Lists and records history below a transaction, down to a floor. Every endpoint lists all of it by itself: what one of them hides,
    /// another one tells.
    ///
    /// # Errors
    /// The last failure, if no endpoint answers; and when the database fails.
    pub(super) async fn walk_below(
        &self,
        account: TokenAccount,
        below: Below,
        swept: &mut Swept,
    ) -> anyhow::Result<Told> {
        let (mut told, mut failure): (Option<(Extent, Depth)>, _) = (None, None);
        let (mut walked, mut unanswered) = (Swept::default(), 0_usize);
        for index in 0..self.pipeline.rpc.endpoints() {
            let (rpc, mut own) = (self.pipeline.rpc.alone(index), Swept::default());
            match self.walk_below_by(&rpc, account, below, &mut own).await {
                Ok((extent, depth)) => {
                    told = Some(match told {
                        Some((known, other)) => (known.and(extent), depth.or(other)),
                        None => (extent, depth),
                    });
                }
                Err(error) if is_of_a_node(&error) => {
                    let (endpoint, error) = (rpc.label(), error.context("list older history"));
                    tracing::warn!(%account, endpoint, error = format!("{error:#}"), "an endpoint does not list older history now");
                    unanswered += 1;
                    failure = Some(error);
                }
                Err(error) => return Err(error),
            }
            walked.add_again(own);
        }
        let nobody = || failure.unwrap_or_else(|| anyhow!("no endpoint is left to ask"));
        let (extent, depth) = told.ok_or_else(nobody)?;
        let depth = match depth {
            Depth::Reached => depth,
            _ if unanswered > 0 => Depth::Unclear,
            _ => depth,
        };
        walked.claimed = (depth == Depth::Claimed).then_some(below.floor);
        swept.add(walked);
        Ok(Told {
            extent,
            depth,
            unanswered,
        })
    }

    async fn walk_below_by(
        &self,
        rpc: &Rpc,
        account: TokenAccount,
        below: Below,
        swept: &mut Swept,
    ) -> anyhow::Result<(Extent, Depth)> {
        let pipeline = self.pipeline.clone();
        let mut ahead = match below.newest {
            None => Ahead::new(pipeline, self.scope, account),
            Some(_) => Ahead::nothing(pipeline, self.scope, account),
        };
        let history = self.list_below(rpc, account, below, &mut ahead).await?;
        let extent = Extent::of(&history);
        let walked = self.ingest_all(account, history, below.newest, ahead, Mode::Bounded);
        swept.add(walked.await?);
        let depth = self.depth(rpc, account, below, &extent).await?;
        Ok((extent, depth))
    }

    /// Lists what is older than a transaction; from the newest one where the node does not know that transaction.
    async fn list_below(
        &self,
        rpc: &Rpc,
        account: TokenAccount,
        below: Below,
        ahead: &mut Ahead,
    ) -> anyhow::Result<History> {
        let all = Range::down_to(account, below.floor);
        if below.before.is_some() {
            let range = Range {
                before: below.before,
                ..all
            };
            match list(rpc, range, &*self.progress, ahead).await {
                Err(error) if error.is_unknown_anchor() => {}
                listed => return listed.context("list older history"),
            }
        }
        let listed = list(rpc, all, &*self.progress, ahead).await;
        listed.context("list older history")
    }

    /// What a listing says of the history down to its floor.
    pub(super) async fn depth(
        &self,
        rpc: &Rpc,
        account: TokenAccount,
        below: Below,
        extent: &Extent,
    ) -> anyhow::Result<Depth> {
        if extent.end == End::Floor {
            return Ok(Depth::Reached);
        }
        let first = rpc.oldest_slot().await.ok();
        let is_genesis = first.is_some_and(|slot| slot <= GENESIS_MAX);
        let begins_at = match first {
            Some(slot) if !is_genesis => rpc.block_time(slot).await.ok().flatten(),
            _ => None,
        };
        let goes_back = match below.floor {
            Floor::Slot(slot) => first.is_some_and(|first| first <= slot),
            Floor::Time(at) => begins_at.is_some_and(|begins_at| begins_at <= at),
        };
        if !is_genesis && !goes_back {
            return Ok(Depth::Short(Shortfall {
                begins_at,
                begins_in: first,
                asked_from: below.floor,
            }));
        }
        let store = &self.pipeline.store;
        let knows_older = match (extent.oldest, below.before) {
            (None, Some(signature)) => store.knows_below(account, signature).await,
            (oldest, _) => {
                store
                    .knows_older(account, oldest.map(|(slot, ..)| slot))
                    .await
            }
        };
        Ok(if knows_older.context("look up older transactions")? {
            Depth::Contradicted
        } else {
            Depth::Claimed
        })
    }
}

impl Depth {
    /// What two endpoints together say: the one that listed more is believed.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Reached, _) | (_, Self::Reached) => Self::Reached,
            (Self::Unclear, _) | (_, Self::Unclear) => Self::Unclear,
            (Self::Contradicted, _) | (_, Self::Contradicted) => Self::Contradicted,
            (Self::Claimed, _) | (_, Self::Claimed) => Self::Claimed,
            (Self::Short(one), Self::Short(another)) => {
                Self::Short(match (one.begins_at, another.begins_at) {
                    (None, Some(_)) => another,
                    (Some(at), Some(other_at)) if other_at < at => another,
                    _ => one,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_endpoints_the_one_that_has_more_is_believed() {
        let short = |begins_at| {
            Depth::Short(Shortfall {
                begins_at,
                begins_in: None,
                asked_from: Floor::Time(0),
            })
        };
        let cases = [
            (Depth::Reached, Depth::Contradicted, Depth::Reached),
            (Depth::Contradicted, Depth::Claimed, Depth::Contradicted),
            (Depth::Claimed, short(Some(7)), Depth::Claimed),
            (short(Some(7)), short(Some(5)), short(Some(5))),
            (short(None), short(Some(5)), short(Some(5))),
        ];
        for (one, another, both) in cases {
            assert_eq!((one.or(another), another.or(one)), (both, both));
        }
    }
}
