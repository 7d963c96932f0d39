"""The training loop and what it is made of; `fit.py` shows the flow."""
