"""Folders to share: a trained model with a card, and data directories for other toolkits."""
