"""What each network learns."""
