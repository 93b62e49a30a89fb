"""What a run measured (`results`), and the page that shows it (`page`)."""
