"""The job runner: queue messages in, fetched results out."""
