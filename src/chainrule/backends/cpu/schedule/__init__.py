"""Choices about speed that change no result: loops, vectors, tiles, panels."""
