"""Where the bytes of videos are: files, memory, members of shards, rows of tables, servers."""
