"""What the packets of a file tell without decoding: tables, key packets, limits."""
