-- Written and never read: what an attempt came to stands in attempts, what a notice came to in the log and the metrics.
ALTER TABLE confirmations DROP COLUMN note;
ALTER TABLE notices DROP COLUMN note;
