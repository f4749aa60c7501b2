"""Scores of hypotheses: counts per utterance first, values from summed counts second. No torch."""
