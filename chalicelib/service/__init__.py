"""What the service does for whoever asks, by HTTP or otherwise: submit, read, delete, and who may how much of it."""
