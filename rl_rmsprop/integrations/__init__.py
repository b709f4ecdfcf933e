"""Parts for the training loops of others."""
