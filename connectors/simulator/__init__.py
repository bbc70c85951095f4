"""A closed loop of simulated shoppers: they see slates, react to them, and so say how good the slates are."""
