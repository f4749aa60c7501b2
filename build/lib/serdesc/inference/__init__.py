"""Trained models in use: decoding a data directory, describing recordings, counterfactual tests."""
