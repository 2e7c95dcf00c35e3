"""How an attempt is made: the process, its notebook, its bounds and its end."""
