"""How this project compares with its peers, in one run on one machine; ``make bench``."""
