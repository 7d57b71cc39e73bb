"""The instrument: schedule, stop rule, statistics over raw samples, and signs of trouble."""
