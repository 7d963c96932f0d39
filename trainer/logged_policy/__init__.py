"""What `python -m trainer.off_policy` judges: a policy on a log, from columns or from a trained job."""
