"""Everything that is counted: quotes, rates, budgets, payment, books."""
