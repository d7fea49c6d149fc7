"""Quality under corruption and on hard photos: the table, its cells, curves and sections of a report."""
