"""The course from first principles, in NumPy alone: small files to read, each checked against an independent source."""
