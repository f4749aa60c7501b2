"""Trained models in use: decoding a data directory, describing recordings, tests of them."""
