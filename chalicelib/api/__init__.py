"""The API: HTTP in, jobs in the table and messages on the queue out."""
