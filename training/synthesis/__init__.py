"""Synthetic scans and lesions, drawn from label maps and from real healthy heads."""
