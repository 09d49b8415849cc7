"""Video, sound, the synthetic presenter, records and input pipelines; knows no model."""
