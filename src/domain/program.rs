//! The programs whose instructions are read: two token programs, three memo programs.

use super::Pubkey;

/// Which of the two token programs owns a mint and its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The memo programs. All three are in use, and their memos count alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoProgram {
    /// `Memo1…`, the first; logs nothing.
    V1,
    /// `MemoSq4…`, what most wallets use.
    V3,
    /// `Memo4…`, the newest.
    V4,
}

impl MemoProgram {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V1, Self::V3, Self::V4];

    /// The program with this id, if it is one of them.
    #[must_use]
    pub fn from_id(id: &Pubkey) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.id() == *id)
    }

    /// The program's address (`spl-memo-interface`).
    #[must_use]
    pub fn id(self) -> Pubkey {
        match self {
            Self::V1 => spl_memo_interface::v1::id(),
            Self::V3 => spl_memo_interface::v3::id(),
            Self::V4 => spl_memo_interface::v4::id(),
        }
    }

    /// Its version, `v3`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V3 => "v3",
            Self::V4 => "v4",
        }
    }
}
