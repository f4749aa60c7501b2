"""Explainable speech emotion recognition: speech in, one caption with transcript, descriptors and emotion out."""

__version__ = "0.2.0"
