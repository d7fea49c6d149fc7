"""The lessons of ``herder learn``: each runs an algorithm of the course on real data, in under two minutes."""
