-- When a token account last received money: those beyond the bound of accounts are ranked by it.
CREATE INDEX payments_received ON payments (token_account, verdict, recorded_at);
-- When it was swept for the last time, because the chain lists it no more.
ALTER TABLE token_accounts ADD COLUMN gone_at INTEGER;
