"""One class per AWS resource, its client injected: the table, the queue, the bucket."""
