"""The compiled steps of a task, one batch each, and whole epochs of them."""
