"""Torch functions as Julia source: traced by torch, lowered to loops, written out."""
