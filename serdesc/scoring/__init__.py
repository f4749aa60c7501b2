"""Scores from references and hypotheses: counts of each utterance first, one figure from their sum second. No torch."""
