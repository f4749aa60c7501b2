"""x (B, L, T, D) -> z (B, T, K) -> s (B, U, H) -> caption. U = T // k speech tokens, H the LLM's width, M text tokens."""
