"""Who sends events at a given pace and who reads what comes back: two processes that know nothing of each other."""
