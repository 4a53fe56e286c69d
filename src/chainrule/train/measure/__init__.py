"""What a prediction is worth: losses, metrics, and the history of both."""
