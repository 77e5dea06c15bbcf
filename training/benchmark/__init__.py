"""How good is it? ``python -m training.benchmark`` measures every case that is kept for measuring only."""
