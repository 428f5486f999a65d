"""Reading and writing safetensors: headers without bytes, mapped tensors, files laid out first.

Nothing here imports torch until a tensor is asked for.
"""
