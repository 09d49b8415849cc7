"""A study in which people rate videos of several systems, blindly."""
