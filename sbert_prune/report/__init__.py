"""Reports on variants: tables, charts and pages."""
