"""From estimates and intervals to a verdict: gates, the noise floor, one sentence."""
