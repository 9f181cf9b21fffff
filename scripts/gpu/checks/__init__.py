"""What `scripts/gpu/check` runs on the other machine. Each part is a program of its own, so that none takes another down."""
