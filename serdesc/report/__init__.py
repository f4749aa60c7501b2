"""HTML reports: one folder that opens from a file, of an experiment or of described recordings."""
