"""What every stage shares: state, sharding, checkpoints, metrics and the loop; knows no model."""
