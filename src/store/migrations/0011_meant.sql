-- Which checkout a payment with an unknown memo may be for: both are looked up by token and exact amount.
CREATE INDEX checkouts_due ON checkouts (mint, amount) WHERE status = 'pending';
CREATE INDEX payments_misnamed ON payments (mint, received) WHERE reason = 'unknown_memo';
