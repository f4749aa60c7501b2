"""Two-phase fine-tuning: schedule, examples and trainer."""
