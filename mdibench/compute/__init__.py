"""Engines: who runs block k and its exit head, for real, from a recording, or not at all.

Rules: an engine gets tasks of one block and answers with one ``Outcome`` each, in order; payloads
are numpy arrays; one thread uses it. torch and onnxruntime are imported by their engine alone.

Called by ``rank.computing`` and ``simulation.world``. Read it in this order: ``engine``,
``confidence``, ``torch_engine``, ``onnx_engine`` and ``onnx_export``, ``engines`` (the choice),
``timing``, ``memory``.
"""
