"""Networks with exits, as inference needs them: definitions, weights, costs, users' own networks.

Users' networks come as blocks, or whole: those are cut (``cutting``), also those of torchvision and
timm (``libraries``), and all of them are tried on real items (``inspection``).

Rules: every network is a ``MultiExitNetwork``; weights are safetensors files, and reading one never
runs code; a rank loads only the blocks that it hosts. Training is in ``training``.

Called by ``compute``, ``assembly`` and ``training``. Read it in this order: ``network``,
``digits_cnn``, ``mobilenetv2``, ``resnet``, ``cutting``, ``libraries``, ``users``, ``registry``,
``packaged``, ``weights``, ``inspection``, ``cost``, ``evaluation``.
"""
