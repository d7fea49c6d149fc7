"""The training room: the loop, and what keeps it exact, stoppable and visible."""
