"""What the boosting libraries have in common; each library's own is in its adapter."""
