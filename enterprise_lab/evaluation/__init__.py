"""How good a model is, how sure that is, and what its curves say."""
