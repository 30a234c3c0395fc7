"""Models: the one in production, the candidates beside it, and never losing the only copy."""
