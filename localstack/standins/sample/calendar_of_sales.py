"""When things are sold: maps progress through all orders (0 to 1) to days, with sales that grow threefold.

Only IEEE-exact arithmetic is used, so the same progress gives the same day on every machine.
"""

import datetime

import numpy as np

EPOCH = datetime.date(1970, 1, 1)
FIRST_ORDER_DAY = (datetime.date(2010, 12, 29) - EPOCH).days
LAST_ORDER_DAY = (datetime.date(2014, 1, 28) - EPOCH).days
SHIPPING_DAYS = 7
DUE_DAYS = 12


def day_of_progress(progress: np.ndarray) -> np.ndarray:
    """Return days since 1970-01-01 for progress in [0, 1); never decreases with progress."""
    # Sales per day rise linearly from 0.5 to 1.5 of their mean; this inverts their running total.
    elapsed = np.sqrt(0.25 + 2.0 * progress) - 0.5
    days = np.floor(elapsed * (LAST_ORDER_DAY - FIRST_ORDER_DAY + 1)).astype(np.int64)
    return FIRST_ORDER_DAY + np.minimum(days, LAST_ORDER_DAY - FIRST_ORDER_DAY)
