"""The SQLite merge: random databases, kills, bad input.

A usual run takes about 2,400 random merges (45 seconds of one core). Longer ones, by command:

    XEXP_TEST_EXAMPLES=5000 pytest -n auto tests/tables    # tens of thousands of random merges
    XEXP_TEST_KILLS=200 pytest -n auto tests/tables tests/workflows/merge -k kill

What a longer run finds becomes a test with its own name, that needs no luck.
"""
