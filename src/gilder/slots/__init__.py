"""The data-disk slots of one VM, and the only code that changes attachments."""
