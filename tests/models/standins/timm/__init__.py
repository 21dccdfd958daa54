"""Stands in for timm where that is not installed: a vision transformer, with as much interface."""

from types import SimpleNamespace

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x, attn_mask=None):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, attn_mask=attn_mask, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, img_size, num_classes, width=32, depth=4, patch=8):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        tokens = (img_size[0] // patch) * (img_size[1] // patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.1 * torch.randn(1, tokens + 1, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x, attn_mask=None):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        if attn_mask is not None:
            for block in self.blocks:
                x = block(x, attn_mask=attn_mask)
        else:
            x = self.blocks(x)
        return self.head(self.norm(x)[:, 0])


def list_models():
    return ["vit_tiny_patch16_224"]


def get_pretrained_cfg(name):
    return SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), fixed_input_size=True)


def create_model(name, pretrained=False, num_classes=1000, img_size=(224, 224)):
    assert not pretrained
    return VisionTransformer(img_size, num_classes)
