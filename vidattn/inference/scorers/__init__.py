"""Scores of frames: how much each is worth as a key frame. All are used in the same way."""
