"""How good it is: measured on patients with known lesions, and on healthy people."""
