"""Long work: import, embed, train, count, evaluate, export."""
