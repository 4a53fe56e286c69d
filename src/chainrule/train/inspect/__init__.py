"""Looking at a training, with all state put back afterwards."""
