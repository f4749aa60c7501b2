"""Speech features x (L, T, D): the frozen encoder, the store on disk or live, and batches."""
