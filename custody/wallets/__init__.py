"""The wallet book: what we hold where, moved by observed chain facts only, and its comparison with the chain."""
