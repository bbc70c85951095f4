"""What is counted of choices: how often, what follows what, who chooses like whom; forgotten by half-lives."""
