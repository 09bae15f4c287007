"""The Python client for exchange backends: requests signed where the key is, and sent again only as the same bytes."""
