"""Lifetimes and time: release, backoff, keyed locks, redaction, the journal."""
