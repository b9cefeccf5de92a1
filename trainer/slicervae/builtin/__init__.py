"""What comes with the module for Slicer: a small demonstration model, and a phantom patient to try it on.

``python -m slicervae.builtin`` makes both anew, from nothing but seeds.
"""
