"""Architectures: populations of neurons joined by projections, one module each."""

if not __name__.startswith("plausibench."):
    raise ImportError(f"import plausibench.{__name__}: {__name__} would be a second copy of it")

BUILTIN = {
    "attention_gated_network": (
        "plausibench.architectures.attention_gated_network:AttentionGatedNetwork"
    ),
    "convolutional": "plausibench.architectures.convolutional:Convolutional",
    "dendritic": "plausibench.architectures.dendritic:Dendritic",
    "hopfield": "plausibench.architectures.hopfield:Hopfield",
    "linear": "plausibench.architectures.linear:Linear",
    "locally_connected": "plausibench.architectures.locally_connected:LocallyConnected",
    "mlp": "plausibench.architectures.mlp:Mlp",
    "residual": "plausibench.architectures.residual:Residual",
    "stochastic_mlp": "plausibench.architectures.stochastic_mlp:StochasticMlp",
    "spiking_mlp": "plausibench.architectures.spiking_mlp:SpikingMlp",
    "what_where": "plausibench.architectures.what_where:WhatWhere",
    "spatial_rnn": "plausibench.architectures.spatial_rnn:SpatialRnn",
    "memory_units": "plausibench.architectures.memory_units:MemoryUnits",
    "rate_rnn": "plausibench.architectures.rate_rnn:RateRnn",
    "escape_rnn": "plausibench.architectures.escape_rnn:EscapeRnn",
    "spiking_rnn": "plausibench.architectures.spiking_rnn:SpikingRnn",
    "mode_rnn": "plausibench.architectures.mode_rnn:ModeRnn",
    "spiking_mode_rnn": "plausibench.architectures.spiking_mode_rnn:SpikingModeRnn",
}
"""Registry name -> where to find it; nothing is imported before it is asked for."""
