"""The search for the best variant: a sampler screens, what follows is measured in full."""
