"""One reader for each decoder and kind of source."""
