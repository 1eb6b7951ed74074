"""The results go back."""
