"""Lists of videos -> records: shares, processes, and a journal that survives interruptions."""
