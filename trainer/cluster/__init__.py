"""Several devices and machines: who takes part, where variables live, what parameter servers do."""
