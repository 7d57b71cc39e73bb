"""Everything between the command line and a checked config: Hydra, its callbacks, launchers, plug-ins."""
