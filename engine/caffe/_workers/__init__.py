"""Workers that train one net together, by torch.distributed."""
