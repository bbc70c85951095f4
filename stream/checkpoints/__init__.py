"""Everything at one moment, safe: which moments are kept, what of each is written, where, and how it is read again."""
