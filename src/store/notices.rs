//! The outbox of notices to people. What happened to payments stands in the other tables already; here is found what of it
//! nobody was told yet. Nothing here is on the way of a payment.

use super::turn::CLOCK_STEP_MIN;
use super::{PaymentSummary, Result, Store, row};
use crate::domain::{BaseUnits, Decimals, Memo, Mint, Timestamp};
use sqlx::Row;

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// `confirmed`, `held`, `parked`, `uncredited` or `dropped`.
    pub told: String,
    /// When.
    pub at: Timestamp,
    /// What tells it from all other facts, for ever.
    pub key: String,
    /// The payment as it is now.
    pub payment: PaymentSummary,
    /// The one pending checkout that it may be for, although its memo names none.
    pub meant: Option<Memo>,
    /// What the checkout asks for that the payment is for, or that its memos name.
    pub expected: Option<Expected>,
}

/// What a checkout asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The checkout.
    pub checkout: Memo,
    /// The amount due, if the API tells it.
    pub amount: Option<BaseUnits>,
    /// The token to pay in, if the API tells it.
    pub mint: Option<Mint>,
    /// Symbol and decimal places of that token, if it is watched.
    pub token: Option<(String, Decimals)>,
}

/// What people are told of the daemon's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The API refuses the key.
    KeyRefused,
    /// The daemon does not do its work.
    NotReady,
    /// It does.
    Recovered,
}

impl Health {
    const ALL: [Self; 3] = [Self::KeyRefused, Self::NotReady, Self::Recovered];

    /// Its word, in the database and as a kind of notice.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyRefused => "key_refused",
            Self::NotReady => "not_ready",
            Self::Recovered => "recovered",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// A state of health, and since when it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// The state.
    pub health: Health,
    /// Since when.
    pub since: Timestamp,
}

/// What was found that nobody was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unnoticed {
    /// The facts.
    pub facts: Vec<Fact>,
    /// How far the attempts were looked at, if that is further than before.
    pub looked_at: Option<i64>,
}

/// A notice to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about. One of the same key is told once.
    pub key: String,
    /// The kind of event.
    pub event: String,
    /// What is sent.
    pub body: String,
}

/// A notice whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotice {
    id: i64,
    /// What it is about.
    pub key: String,
    /// What is sent.
    pub body: String,
    /// When it was written.
    pub at: Timestamp,
    /// How often it was sent in vain.
    pub attempts: u32,
}

/// $1 and $2 bound the attempts, $3 the first instant of which anything is told, $4 the last one for held payments.
const FACTS: &str = "SELECT told, payment_id, at, 'payment-' || told || '-' || signature || '-' || token_account || more AS key FROM ( \
    SELECT DISTINCT CASE c.state WHEN 'acknowledged' THEN 'confirmed' ELSE c.state END AS told, c.payment_id, c.closed_at AS at, \
        CASE c.state WHEN 'acknowledged' THEN '' ELSE '-' || c.closed_at END AS more \
        FROM attempts a JOIN confirmations c ON c.id = a.confirmation_id \
        WHERE a.rowid > $1 AND a.rowid <= $2 AND c.state IN ('acknowledged', 'parked', 'uncredited') \
    UNION ALL SELECT 'held', id, recorded_at, '-' || reason FROM payments WHERE verdict = 'held' AND NOT is_dust AND dismissed_at IS NULL \
        AND chain_state <> 'dropped' AND recorded_at BETWEEN $3 AND $4 \
    UNION ALL SELECT 'dropped', id, settled_at, '-' || settled_at FROM payments WHERE chain_state = 'dropped' AND settled_at >= $3 \
    ) AS facts JOIN payments p ON p.id = facts.payment_id \
    WHERE NOT EXISTS (SELECT 1 FROM notices n WHERE n.key = 'payment-' || told || '-' || signature || '-' || token_account || more) \
    ORDER BY at";

impl Store {
    /// Most attempts that are looked at in one go.
    const LOOK_MAX: i64 = 500;

    /// What of these happened since the last look, and nobody was told. Held payments are told of if they are still held, and were recorded
    /// before `held_before`. What happened before the first look of all is never told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unnoticed(
        &self,
        is_wanted: impl Fn(&str) -> bool,
        held_before: Timestamp,
        now: Timestamp,
    ) -> Result<Unnoticed> {
        let cursor = sqlx::query(
            "SELECT attempt, since, (SELECT COALESCE(MAX(rowid), 0) FROM attempts) AS newest FROM notice_cursor",
        )
        .fetch_optional(&self.read)
        .await?;
        let Some(cursor) = cursor else {
            self.look_from_now_on(now).await?;
            return Ok(Unnoticed::default());
        };
        let (attempt, newest): (i64, i64) = (cursor.try_get("attempt")?, cursor.try_get("newest")?);
        let looked_at = newest.min(attempt.saturating_add(Self::LOOK_MAX));
        let rows = sqlx::query(FACTS)
            .bind(attempt)
            .bind(looked_at)
            .bind(cursor.try_get::<i64, _>("since")?)
            .bind(held_before.0)
            .fetch_all(&self.read)
            .await?;
        let mut facts = Vec::new();
        for r in &rows {
            let told: String = r.try_get("told")?;
            if !is_wanted(&told) {
                continue;
            }
            if let Some(payment) = self.payment(r.try_get("payment_id")?).await? {
                let meant = self.meant_by(&payment).await?;
                facts.push(Fact {
                    told,
                    meant: meant.map(|checkout| checkout.memo),
                    at: Timestamp(r.try_get("at")?),
                    key: r.try_get("key")?,
                    expected: self.expected(&payment).await?,
                    payment,
                });
            }
        }
        Ok(Unnoticed {
            facts,
            looked_at: (looked_at > attempt).then_some(looked_at),
        })
    }

    /// Since when anything is told; `None` before the first look of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told_since(&self) -> Result<Option<Timestamp>> {
        let since: Option<i64> = sqlx::query_scalar("SELECT since FROM notice_cursor")
            .fetch_optional(&self.read)
            .await?;
        Ok(since.map(Timestamp))
    }

    async fn look_from_now_on(&self, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT OR IGNORE INTO notice_cursor (only, attempt, since) SELECT 1, COALESCE(MAX(rowid), 0), $1 FROM attempts",
        )
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes notices down, due at once, and that so far was looked. A key that was written before stays as it is.
    ///
    /// # Errors
    /// When the database fails; then all of it is found again.
    pub async fn write_notices(
        &self,
        notices: &[Notice],
        found: &Unnoticed,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        for notice in notices {
            sqlx::query(
                "INSERT OR IGNORE INTO notices (key, event, body, at, due_at, due_set_at) VALUES ($1, $2, $3, $4, $4, $4)",
            )
            .bind(&notice.key)
            .bind(&notice.event)
            .bind(&notice.body)
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("UPDATE notice_cursor SET attempt = MAX(attempt, COALESCE($1, attempt))")
            .bind(found.looked_at)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// What the checkout asks for that a payment is for, or that its memos name if they name exactly one.
    async fn expected(&self, payment: &PaymentSummary) -> Result<Option<Expected>> {
        let memos = match &payment.checkout {
            Some(checkout) => std::slice::from_ref(checkout),
            None => &payment.memos,
        };
        let named = self.checkouts_named(memos).await?;
        let mut exact = named.iter().filter(|one| memos.contains(&one.memo));
        let (first, another) = (exact.next(), exact.next());
        let ((Some(checkout), None, _) | (None, _, [checkout])) =
            (first, another, named.as_slice())
        else {
            return Ok(None);
        };
        let token = match checkout.mint {
            Some(mint) => self.token_of(mint).await?,
            None => None,
        };
        Ok(Some(Expected {
            checkout: checkout.memo.clone(),
            amount: checkout.amount,
            mint: checkout.mint,
            token,
        }))
    }

    async fn token_of(&self, mint: Mint) -> Result<Option<(String, Decimals)>> {
        let token = "SELECT symbol, decimals FROM token_accounts WHERE mint = $1 AND symbol IS NOT NULL LIMIT 1";
        let found = sqlx::query(token)
            .bind(mint.to_string())
            .fetch_optional(&self.read)
            .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let symbol: String = found.try_get("symbol")?;
        Ok(row::decimals(&found)?.map(|decimals| (symbol, decimals)))
    }

    /// The state of health that was noted last, and what people were told of it last.
    ///
    /// # Errors
    /// When the database fails, or holds a state that this program never writes.
    pub async fn noted_health(&self) -> Result<Option<(Lasting, Health)>> {
        let found = sqlx::query("SELECT health, since, told FROM notice_health")
            .fetch_optional(&self.read)
            .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let state = |column| {
            let health = Health::parse(found.try_get(column)?);
            health.ok_or(super::Error::Corrupt { column })
        };
        let lasting = Lasting {
            health: state("health")?,
            since: Timestamp(found.try_get("since")?),
        };
        Ok(Some((lasting, state("told")?)))
    }

    /// Notes a state of health and what people were told last, for after a restart.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_health(&self, lasting: Lasting, told: Health) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT OR REPLACE INTO notice_health (only, health, since, told) VALUES (1, $1, $2, $3)",
        )
        .bind(lasting.health.as_str())
        .bind(lasting.since.0)
        .bind(told.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notices whose time has come, the oldest first. A due time that was written in the future, before the clock was put back, has
    /// come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_notices(&self, now: Timestamp, limit: u32) -> Result<Vec<DueNotice>> {
        let rows = sqlx::query(
            "SELECT id, key, body, at, attempts FROM notices WHERE due_at <= $1 OR (due_at IS NOT NULL AND due_set_at > $2) \
             ORDER BY id LIMIT $3",
        )
        .bind(now.0)
        .bind(now.plus(CLOCK_STEP_MIN).0)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(DueNotice {
                    id: r.try_get("id")?,
                    key: r.try_get("key")?,
                    body: r.try_get("body")?,
                    at: Timestamp(r.try_get("at")?),
                    attempts: u32::try_from(row::count(r, "attempts")?).unwrap_or(u32::MAX),
                })
            })
            .collect()
    }

    /// Notes what became of a notice that was sent: it is due again then, or never.
    ///
    /// # Errors
    /// When the database fails; then it is sent again, under the same key.
    pub async fn note_sent(
        &self,
        notice: &DueNotice,
        due_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE notices SET attempts = attempts + 1, due_at = $2, due_set_at = $3 WHERE id = $1")
            .bind(notice.id)
            .bind(due_at.map(|at| at.0))
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
