"""The machine: processes, folders, memory, caches."""
