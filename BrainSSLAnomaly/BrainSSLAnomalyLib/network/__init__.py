"""The networks and their inference; needs torch and MONAI, as no other room does."""
