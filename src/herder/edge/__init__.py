"""From a trained network to a file that runs anywhere: export, parity, engines without torch, speed.

Nothing is imported here, so that ``herder.edge.runtime`` never waits for torch.
"""
