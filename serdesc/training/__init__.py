"""Two-phase fine-tuning: what is trained when, for how long, and how a run goes on after it was stopped."""
