"""Trained jobs → what runs their models on TensorFlow Serving: its configuration, images, manifests, a smoke test."""
