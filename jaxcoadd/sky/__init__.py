"""The sky: what needs coordinates, on the host and in double precision."""
