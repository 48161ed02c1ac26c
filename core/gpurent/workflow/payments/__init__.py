"""Money: rates, quotes, budgets, payments, bookkeeping."""
