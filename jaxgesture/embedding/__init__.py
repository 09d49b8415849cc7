"""Trains the autoencoder of poses whose features FGD and diversity compare."""
