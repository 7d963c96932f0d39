"""What people see of a job while it trains."""
