"""Captions and what they say: fields, a writer (caption from fields) and a reader (fields from any caption)."""
