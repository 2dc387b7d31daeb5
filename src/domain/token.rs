//! The two token programs, and the instructions of theirs that move tokens.

use super::Pubkey;

/// Which of the two token programs owns a mint and its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenProgram {
    /// The classic program (`Tokenkeg…`).
    Token,
    /// Token-2022 (`Tokenz…`), with extensions.
    Token2022,
}

impl TokenProgram {
    /// The program with this id, if it is one of the two.
    #[must_use]
    pub fn from_id(id: &Pubkey) -> Option<Self> {
        [Self::Token, Self::Token2022]
            .into_iter()
            .find(|program| program.id() == *id)
    }

    /// The program's address.
    #[must_use]
    pub fn id(self) -> Pubkey {
        match self {
            Self::Token => spl_token::id(),
            Self::Token2022 => spl_token_2022_interface::id(),
        }
    }
}
