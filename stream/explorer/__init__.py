"""A page that shows what one worker knows and why it says what it says; read-only."""
