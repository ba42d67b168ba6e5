"""The report object in, a string out: one module per format; none of them prints."""
