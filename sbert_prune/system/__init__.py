"""The machine: processes, folders, memory and caches."""
