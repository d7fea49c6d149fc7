"""Two sides compared: what was found, its tables, the verdict, pictures and sections of a report."""
