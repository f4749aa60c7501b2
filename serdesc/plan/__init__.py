"""What an experiment will need, said before anything runs: parameters, disk, tokens, memory and hours."""
