"""From manifests to patient-split image sequences [B, T, C, H, W]."""
