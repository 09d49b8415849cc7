"""The whole line on the synthetic presenter, and the page that shows it."""
