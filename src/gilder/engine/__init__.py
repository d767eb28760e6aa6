"""Many images: admission, limits, order, signals, outcomes."""
