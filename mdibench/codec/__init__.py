"""Codecs: how a feature map is encoded for a link, and how many bytes it then has.

Rules: no torch, since a rank with ONNX Runtime does without it; a decoded feature map has the
shape and element type of the original. Training of the bottleneck is in ``training``.

Called by ``transport.post_office`` (``Coder``); for sizes by ``simulation``, ``bounds`` and
``analysis.explain``. Read it in this order: ``codecs`` (none, fp16, int8 and the choice),
``bottleneck`` (pairs of a learned encoder and decoder), ``sizes`` (bytes per block, without data).
"""
