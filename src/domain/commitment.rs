//! How sure the chain is.

/// How sure the chain is of a transaction. `processed` is never acted on, so it is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commitment {
    /// Voted on by a supermajority: about a second.
    Confirmed,
    /// Can no longer be undone.
    Finalized,
}

impl Commitment {
    /// The chain's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}
