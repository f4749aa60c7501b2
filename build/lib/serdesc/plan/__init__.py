"""Resource estimates before a run: parameters, disk space, tokens, memory and hours."""
