"""Networks with exits, as inference needs them: definitions, weights, costs, users' own networks.

Rules: every network is a ``MultiExitNetwork``; weights are safetensors files, and reading one never
runs code; a rank loads only the blocks that it hosts. Training is in ``training``.

Called by ``compute``, ``assembly`` and ``training``. Read it in this order: ``network``,
``digits_cnn``, ``mobilenetv2``, ``resnet``, ``users``, ``registry``, ``packaged``, ``weights``,
``cost``, ``evaluation``.
"""
