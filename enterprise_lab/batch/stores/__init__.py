"""Where results are kept, and the books of who makes which attempt."""
