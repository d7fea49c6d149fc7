"""The rules of Open Images: matching, precision, and what its files say of labels and classes."""
