//! Several pieces of money, several checkouts: whether there is exactly one way to pay them.
//!
//! Tells a person what is likely meant; it never confirms anything.

use super::judge::amount_fault;
use super::{AmountRule, BaseUnits, Checkout, Credit, Memo, Mint, Transfer, Wallet};

/// Money that came in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Who got it.
    pub wallet: Wallet,
    /// In which token.
    pub mint: Mint,
    /// How much.
    pub amount: BaseUnits,
}

/// A piece of money and the checkout it pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The money.
    pub piece: Piece,
    /// The checkout's id.
    pub memo: Memo,
}

/// What the credits of a transaction are made of: its transfers into an account where they explain the credit to the last
/// base unit, else the credit as a whole.
#[must_use]
pub fn pieces(credits: &[Credit], transfers: &[Transfer]) -> Vec<Piece> {
    credits
        .iter()
        .flat_map(|credit| {
            let piece = |amount| Piece {
                wallet: credit.wallet,
                mint: credit.mint,
                amount,
            };
            let into: Vec<_> = transfers
                .iter()
                .filter(|transfer| transfer.destination == credit.token_account)
                .map(|transfer| transfer.amount)
                .filter(|amount| *amount > BaseUnits(0))
                .collect();
            let sum: u128 = into.iter().map(|amount| u128::from(amount.0)).sum();
            if sum == u128::from(credit.received.0) {
                into.into_iter().map(piece).collect()
            } else {
                vec![piece(credit.received)]
            }
        })
        .collect()
}

/// The only way to give every piece a checkout of its own that it pays; `None` if there is none, or more than one.
#[must_use]
pub fn unique_assignment(
    pieces: &[Piece],
    checkouts: &[&Checkout],
    rule: AmountRule,
) -> Option<Vec<Share>> {
    if pieces.is_empty() || pieces.len() > checkouts.len() {
        return None;
    }
    let fits: Vec<Vec<usize>> = pieces
        .iter()
        .map(|piece| {
            let payable = |checkout: &Checkout| {
                checkout.mint.is_none_or(|mint| mint == piece.mint)
                    && checkout
                        .recipient
                        .is_none_or(|wallet| wallet == piece.wallet)
                    && amount_fault(piece.amount, checkout.amount, rule).is_none()
            };
            (0..checkouts.len())
                .filter(|index| checkouts.get(*index).is_some_and(|one| payable(one)))
                .collect()
        })
        .collect();
    let assigned = assign(&fits, None)?;
    let ambiguous = assigned
        .iter()
        .enumerate()
        .any(|pair| assign(&fits, Some((pair.0, *pair.1))).is_some());
    if ambiguous {
        return None;
    }
    pieces
        .iter()
        .zip(assigned)
        .map(|(piece, checkout)| {
            Some(Share {
                piece: *piece,
                memo: checkouts.get(checkout)?.memo.clone(),
            })
        })
        .collect()
}

/// A bipartite matching that covers every piece (augmenting paths), without the forbidden pair; for each piece its checkout.
fn assign(fits: &[Vec<usize>], forbidden: Option<(usize, usize)>) -> Option<Vec<usize>> {
    let width = fits.iter().flatten().max()?.saturating_add(1);
    let mut holder: Vec<Option<usize>> = vec![None; width];
    for piece in 0..fits.len() {
        if !augment(piece, fits, forbidden, &mut vec![false; width], &mut holder) {
            return None;
        }
    }
    (0..fits.len())
        .map(|piece| holder.iter().position(|held| *held == Some(piece)))
        .collect()
}

fn augment(
    piece: usize,
    fits: &[Vec<usize>],
    forbidden: Option<(usize, usize)>,
    tried: &mut [bool],
    holder: &mut [Option<usize>],
) -> bool {
    for checkout in fits.get(piece).into_iter().flatten().copied() {
        let is_new = forbidden != Some((piece, checkout))
            && tried
                .get_mut(checkout)
                .is_some_and(|tried| !std::mem::replace(tried, true));
        if !is_new {
            continue;
        }
        let is_free = match holder.get(checkout).copied().flatten() {
            None => true,
            Some(other) => augment(other, fits, forbidden, tried, holder),
        };
        if is_free && let Some(place) = holder.get_mut(checkout) {
            *place = Some(piece);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
