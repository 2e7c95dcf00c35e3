"""One small CNN and one recipe, trained by several frameworks on whatever device there is."""
