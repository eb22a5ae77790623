"""NLI and STS data, from files of any known format to checked rows."""
