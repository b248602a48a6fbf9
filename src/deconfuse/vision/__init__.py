"""Image bytes to vectors. The only room that knows Pillow and ONNX Runtime."""
