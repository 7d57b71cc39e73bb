"""Generating tokens: one greedy loop with a KV cache for every runtime, and how each runtime decodes."""
