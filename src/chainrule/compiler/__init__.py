"""Graph to loop program."""
