"""What `doctor` looks at: one module a subject, each answering with rows of its table."""
