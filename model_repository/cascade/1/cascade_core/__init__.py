"""The cascade file and the gating rule; numpy and the standard library only."""
