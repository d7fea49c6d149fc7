"""Networks that draw: a GAN and a diffusion model, small enough to read and to train on a laptop."""
