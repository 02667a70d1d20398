"""Parts of bench/line.py: load sources, the product's process, peers, and one module of rows per subject."""
