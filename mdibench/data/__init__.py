"""Data sets of images: handwritten digits of scikit-learn, CIFAR-10, a folder of pictures.

Rules: uint8 images ``[N, C, H, W]`` and three splits that share no item; a file is checked before
it is used; nothing is downloaded unless a command asks for it.

Called by ``assembly.workload``, ``models``, ``training`` and ``mdibench data``. Read it in this
order: ``dataset``, ``registry``, ``digits``, ``cifar10``, ``images``.
"""
