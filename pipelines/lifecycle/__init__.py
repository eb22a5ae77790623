"""What happens to versions after they are registered: promotion, history, verification, cleanup."""
