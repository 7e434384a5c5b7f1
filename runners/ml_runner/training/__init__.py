"""What training, evaluating and reporting have in common, whatever the framework."""
