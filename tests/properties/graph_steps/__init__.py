"""One random primitive after another."""
