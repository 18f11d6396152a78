"""The study's stages for one data set, as the notebooks call them."""
