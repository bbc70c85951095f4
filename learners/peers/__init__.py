"""Simple recommenders that freshet is measured against: one file a family, all exact, all updated by every choice."""
