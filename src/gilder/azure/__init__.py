"""Azure as gilder uses it: Resource Manager, identity, instance metadata."""
