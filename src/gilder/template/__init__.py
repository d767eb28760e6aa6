"""Text in, build specs and diagnostics out; pure."""
