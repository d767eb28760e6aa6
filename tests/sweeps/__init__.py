"""Sweeps: every fault at every step, and the same invariants after each."""
