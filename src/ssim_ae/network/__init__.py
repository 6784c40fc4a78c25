"""The autoencoder as data, and the structural similarity it is trained with."""
