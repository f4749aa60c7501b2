"""serdesc hears speech and says what was said, how, and what it means for the emotion."""

__version__ = "0.1.0"
