"""What is done inside a guest root."""
