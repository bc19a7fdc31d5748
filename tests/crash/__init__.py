"""Proof by exhaustion: the real operations, stepped one AWS call at a time, killed at each, in every order."""
