"""Which of the mistakes that people really make explains why an artifact does not follow its model."""
