"""The cascade file, the gating rule and the tensors on the wire; numpy and the standard library only."""
