-- What was sent in vain before its fork died used to stay queued; it is given up.
UPDATE confirmations SET state = 'parked', due_at = NULL,
    closed_at = (SELECT COALESCE(p.settled_at, p.recorded_at) FROM payments p WHERE p.id = payment_id)
WHERE state = 'queued' AND payment_id IN (SELECT id FROM payments WHERE chain_state = 'dropped');
