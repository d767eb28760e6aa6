"""Options, wording, progress, exit codes."""
