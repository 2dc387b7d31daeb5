//! What the balances of a transaction show, and what they leave out.
//!
//! A balance that a node does not tell is unknown, never zero. Each rule here compares the balances with the instructions, and
//! bounds a value that is unknown; where the bounds come to different credits, the transaction cannot be judged.

use super::credit::{Effect, each_effect};
use super::transaction::find;
use super::{
    BaseUnits, Incomplete, Mint, TokenAccount, TokenBalance, TokenProgram, Transaction, Transfer,
    Wallet, Watched,
};

/// The token balances of one account around a transaction, and what the instructions did to the account.
pub(super) struct Account<'a> {
    address: TokenAccount,
    pub(super) before: Option<&'a TokenBalance>,
    pub(super) after: Option<&'a TokenBalance>,
    /// What the lamports of the account grew by; `None` if the node does not tell.
    lamport_gain: Option<i128>,
    moved: Moved,
}

impl<'a> Account<'a> {
    pub(super) fn of(address: TokenAccount, transaction: &'a Transaction) -> Self {
        let lamports = transaction.lamports_of(address.0);
        let gain = lamports.map(|told| i128::from(told.after) - i128::from(told.before));
        Self {
            address,
            before: find(&transaction.pre, address),
            after: find(&transaction.post, address),
            lamport_gain: gain,
            moved: Moved::of(address, transaction),
        }
    }

    /// Checks that the node tells enough of a watched account to say what it gained.
    pub(super) fn check_watched(&self, transaction: &Transaction) -> Result<(), Incomplete> {
        let Some(after) = self.after else {
            return self.check_absence(transaction);
        };
        if after.owner.is_none() || after.token_program.is_none() {
            return Err(Incomplete::Owner);
        }
        if self.contradicts(after) {
            return Err(Incomplete::Contradiction);
        }
        if self.is_left_out_before() {
            return Err(Incomplete::BalanceBefore);
        }
        let gained = i128::from(after.amount.0) - amount(self.before);
        if is_native(after.mint) && self.lamport_gain.is_none() && gained > self.moved.net() {
            return Err(Incomplete::Lamports);
        }
        Ok(())
    }

    /// A watched account has no balance after the transaction. That is in order if the account was closed, or if nothing was moved
    /// to it and it had none before either, and if it cannot have been filled unseen: anybody can name any address.
    fn check_absence(&self, transaction: &Transaction) -> Result<(), Incomplete> {
        let is_filled = self.moved.brought > 0 || self.moved.synced == Synced::Yes;
        let is_gone = self.before.is_some() && self.moved.closed == Closed::No;
        if is_filled || is_gone {
            return Err(Incomplete::BalanceAfter);
        }
        if self.moved.closed == Closed::Yes || !self.may_be_filled(transaction) {
            return Ok(());
        }
        Err(if transaction.inner_known {
            Incomplete::BalanceAfter
        } else {
            Incomplete::InnerInstructions
        })
    }

    /// Whether an inner instruction that the node does not show may have moved tokens to the account. Each program that is called
    /// is among the keys, inner calls included. Where a token program is, a validator records the balance of each token account
    /// that exists (`collect_token_balances` in Agave); an address that holds no lamports after the transaction is no account.
    fn may_be_filled(&self, transaction: &Transaction) -> bool {
        let is_writable = transaction.writable.contains(&self.address.0);
        let is_token_program = |key| TokenProgram::from_id(key).is_some();
        let is_there = transaction
            .lamports_of(self.address.0)
            .is_none_or(|lamports| lamports.after > 0);
        is_writable && is_there && transaction.keys.iter().any(is_token_program)
    }

    /// Whether balances and instructions name different mints or programs. Only an account that was closed and made anew changes
    /// them.
    fn contradicts(&self, after: &TokenBalance) -> bool {
        let differs = |told: Option<TokenProgram>| {
            told.is_some_and(|program| Some(program) != after.token_program)
        };
        let moved_otherwise =
            differs(self.moved.program) || self.moved.mint.is_some_and(|mint| mint != after.mint);
        let changed = self.moved.closed == Closed::No
            && self
                .before
                .is_some_and(|before| before.mint != after.mint || differs(before.token_program));
        moved_otherwise || changed
    }

    /// Whether the account holds more than the transaction moved to it, although the node tells no balance from before. An account
    /// of the native mint that is new holds the lamports that came with it: there the lamports tell.
    fn is_left_out_before(&self) -> bool {
        let unexplained = |after: &TokenBalance| {
            let is_told_by_lamports = is_native(after.mint) && self.lamport_gain.is_some();
            !is_told_by_lamports && amount(Some(after)) > self.moved.net()
        };
        self.before.is_none() && self.after.is_some_and(unexplained)
    }

    /// Whether the account held a balance before, and neither a balance after nor its end is told.
    fn is_left_out_after(&self) -> bool {
        self.before.is_some() && self.after.is_none() && self.moved.closed == Closed::No
    }

    /// What the transaction itself brought: the growth of the balance, and of an account of the native mint no more than the growth
    /// of its lamports. `SyncNative` turns lamports that came earlier into tokens.
    fn brought(&self, mint: Mint, growth: i128) -> i128 {
        match self.lamport_gain {
            Some(lamports) if is_native(mint) => growth.min(lamports),
            _ => growth,
        }
    }

    /// What a watched account gained, if it is after the transaction what it must be; an account that was not there before held 0.
    pub(super) fn gained(&self, watched: &Watched) -> Option<BaseUnits> {
        let after = self.after?;
        let right = after.owner == Some(watched.wallet)
            && after.mint == watched.mint
            && after.token_program == Some(watched.token_program);
        let growth = amount(Some(after)) - amount(self.before);
        right.then(|| base_units(self.brought(after.mint, growth)))
    }
}

fn amount(balance: Option<&TokenBalance>) -> i128 {
    balance.map_or(0, |balance| i128::from(balance.amount.0))
}

fn is_native(mint: Mint) -> bool {
    mint.0 == spl_token::native_mint::id()
}

/// 0 for what is less.
fn base_units(gain: i128) -> BaseUnits {
    BaseUnits(u64::try_from(gain.max(0)).unwrap_or(u64::MAX))
}

/// Whether the instructions close an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Closed {
    #[default]
    No,
    Yes,
}

/// Whether the instructions count an account's lamports as tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Synced {
    #[default]
    No,
    Yes,
}

/// What the instructions did to one token account, since it was last closed.
#[derive(Debug, Default)]
struct Moved {
    /// Moved to it, before any fee was withheld.
    brought: u128,
    /// Moved away from it.
    sent: u128,
    closed: Closed,
    synced: Synced,
    /// The program that moved tokens to it.
    program: Option<TokenProgram>,
    /// The mint that such an instruction names.
    mint: Option<Mint>,
}

impl Moved {
    fn of(account: TokenAccount, transaction: &Transaction) -> Self {
        let mut moved = Self::default();
        for instruction in &transaction.instructions {
            each_effect(instruction, &mut |program, effect| {
                moved.take(account, program, effect);
            });
        }
        moved
    }

    fn take(&mut self, account: TokenAccount, program: TokenProgram, effect: Effect) {
        match effect {
            Effect::Moves(transfer) => {
                let amount = u128::from(transfer.amount.0);
                if transfer.source == Some(account) {
                    self.sent = self.sent.saturating_add(amount);
                }
                // A transfer of nothing shows nothing, and anybody can make one.
                if transfer.destination == account && amount > 0 {
                    self.brought = self.brought.saturating_add(amount);
                    self.program = Some(program);
                    self.mint = transfer.mint.or(self.mint);
                }
            }
            Effect::Closes(closed) if closed == account => {
                *self = Self {
                    closed: Closed::Yes,
                    ..Self::default()
                };
            }
            Effect::Syncs(synced) if synced == account => self.synced = Synced::Yes,
            Effect::Closes(_) | Effect::Syncs(_) => {}
        }
    }

    /// What they moved to it, less what they moved away.
    fn net(&self) -> i128 {
        let signed = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
        signed(self.brought).saturating_sub(signed(self.sent))
    }
}

/// The bounds of what all accounts of a wallet gained together in one mint. They differ where the node tells no owner or no balance
/// of an account that may be the wallet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalletGain {
    least: i128,
    most: i128,
}

impl WalletGain {
    /// Sums up the accounts that hold the mint and belong, or may belong, to the wallet.
    pub(super) fn of(
        wallet: Wallet,
        mint: Mint,
        transaction: &Transaction,
        transfers: &[Transfer],
    ) -> Self {
        let mut gain = Self { least: 0, most: 0 };
        let mut seen: Vec<TokenAccount> = Vec::new();
        for balance in transaction.pre.iter().chain(&transaction.post) {
            if balance.mint == mint && !seen.contains(&balance.token_account) {
                seen.push(balance.token_account);
                gain.add(
                    wallet,
                    mint,
                    &Account::of(balance.token_account, transaction),
                );
            }
        }
        let hides_a_loss = transfers
            .iter()
            .filter(|transfer| is_of(transfer, wallet, mint, transaction))
            .filter_map(|transfer| transfer.source)
            .any(|source| is_hidden(source, mint, transaction));
        if hides_a_loss {
            gain.least = i128::MIN;
        }
        gain
    }

    fn add(&mut self, wallet: Wallet, mint: Mint, account: &Account<'_>) {
        let share = |balance: Option<&TokenBalance>| match balance {
            Some(balance) if balance.mint != mint => (0, 0),
            Some(balance) => match balance.owner {
                Some(owner) if owner == wallet => (amount(Some(balance)), amount(Some(balance))),
                Some(_) => (0, 0),
                None => (0, amount(Some(balance))),
            },
            None => (0, 0),
        };
        let (least_before, most_before) = share(account.before);
        let (least_after, most_after) = share(account.after);
        let may_be_its = |balance: Option<&TokenBalance>| {
            balance.is_some_and(|balance| balance.owner.is_none_or(|owner| owner == wallet))
        };
        let least = account.brought(mint, least_after - most_before);
        let most = account.brought(mint, most_after - least_before);
        self.least = self.least.saturating_add(least);
        self.most = self.most.saturating_add(most);
        if account.is_left_out_before() && may_be_its(account.after) {
            self.least = i128::MIN;
        }
        if account.is_left_out_after() && may_be_its(account.before) {
            self.most = i128::MAX;
        }
    }

    /// Credits an account of the wallet with as much of its gain as the wallet gained together, if that amount is certain.
    pub(super) fn spend(&mut self, gained: BaseUnits) -> Result<BaseUnits, Incomplete> {
        let take = |left: &mut i128| {
            let taken = gained.min(base_units(*left));
            *left = left.saturating_sub(i128::from(taken.0));
            taken
        };
        let (least, most) = (take(&mut self.least), take(&mut self.most));
        if least == most {
            Ok(least)
        } else {
            Err(Incomplete::Wallet)
        }
    }
}

/// Whether a transfer brings tokens of the mint into an account of the wallet.
fn is_of(transfer: &Transfer, wallet: Wallet, mint: Mint, transaction: &Transaction) -> bool {
    transfer.amount > BaseUnits(0)
        && find(&transaction.post, transfer.destination)
            .is_some_and(|after| after.owner == Some(wallet) && after.mint == mint)
}

/// Whether an account paid without any balance being told of it, and more than the transaction moved to it. An account that is made
/// and closed on the way has no balances either, but pays only what it got.
fn is_hidden(source: TokenAccount, mint: Mint, transaction: &Transaction) -> bool {
    let is_told = |balances: &[TokenBalance]| find(balances, source).is_some();
    if is_told(&transaction.pre) || is_told(&transaction.post) {
        return false;
    }
    // Lamports fill an account of the native mint.
    let is_new = transaction
        .lamports_of(source.0)
        .is_some_and(|lamports| lamports.before == 0);
    let is_filled_by_lamports = is_native(mint) && is_new;
    !is_filled_by_lamports && paid_from(source, transaction) > 0
}

/// What an account paid beyond what it got in the transaction, whether or not it was closed on the way.
fn paid_from(source: TokenAccount, transaction: &Transaction) -> i128 {
    let signed = |transfer: &Transfer| i128::from(transfer.amount.0);
    let mut paid: i128 = 0;
    for instruction in &transaction.instructions {
        each_effect(instruction, &mut |_, effect| {
            if let Effect::Moves(transfer) = effect {
                if transfer.source == Some(source) {
                    paid = paid.saturating_add(signed(&transfer));
                }
                if transfer.destination == source {
                    paid = paid.saturating_sub(signed(&transfer));
                }
            }
        });
    }
    paid
}

/// Checks that no account has two different balances on one side.
pub(super) fn check_told_once(balances: &[TokenBalance]) -> Result<(), Incomplete> {
    let is_once = |(index, balance): (usize, &TokenBalance)| {
        let earlier = balances.get(..index).unwrap_or_default();
        find(earlier, balance.token_account).is_none_or(|other| other == balance)
    };
    if balances.iter().enumerate().all(is_once) {
        Ok(())
    } else {
        Err(Incomplete::Contradiction)
    }
}
