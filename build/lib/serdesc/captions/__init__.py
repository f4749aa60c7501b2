"""Captions: their fields, a writer (fields to caption) and a reader (any caption to fields)."""
