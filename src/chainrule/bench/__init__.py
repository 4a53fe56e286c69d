"""Measuring: what the machine can do, and how fast training steps are beside other libraries."""
