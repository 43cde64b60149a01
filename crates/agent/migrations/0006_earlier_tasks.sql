-- Tasks of the VMID that were there before ours: a node's clock that was set back does not make them later.
ALTER TABLE remains ADD COLUMN earlier TEXT;
