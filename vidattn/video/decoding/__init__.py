"""Packets -> exact frames: which to decode, where to stop, how a frame becomes RGB."""
