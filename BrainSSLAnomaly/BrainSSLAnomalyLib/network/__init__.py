"""Networks: what they are made of. Needs torch and MONAI; nothing else in the package does."""
