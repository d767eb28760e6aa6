"""A strict local Azure: Resource Manager, instance metadata and token service, over HTTPS on loopback."""
