"""File formats -> arrays."""
