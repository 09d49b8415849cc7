"""Joins both stages: an image and a speech recording in, a video out."""
