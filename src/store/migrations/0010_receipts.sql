-- When a token account last received money: those beyond the bound of accounts are ranked by it.
CREATE INDEX payments_received ON payments (token_account, verdict, recorded_at);
