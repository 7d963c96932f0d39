"""Which metrics are better when they are lower."""

LOWER_IS_BETTER = ("log_loss", "rmse", "mae", "normalised_entropy", "expected_calibration_error")
