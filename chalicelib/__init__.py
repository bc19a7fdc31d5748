"""Fetch Queue: everything in this package ships to Lambda, and nothing else does."""
