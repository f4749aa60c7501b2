"""Features x (L, T, D): the frozen encoder that makes them, and the store that keeps them."""
