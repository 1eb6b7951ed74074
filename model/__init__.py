"""From CT instances to a survival curve; imports neither ``survnode.node`` nor ``survnode.train``.

Read it in the order of the data: ``ct.arrangement`` -> ``ct.volume`` -> ``ct.lungs`` -> ``ct.preprocess`` -> ``net``
-> ``timegrid``; ``predict.Predictor`` is the one call that joins them.

Letters of the dimensions, everywhere in this package
-----------------------------------------------------
D, H, W : slices, rows and columns of a CT volume; D runs feet to head, H front to back, W right to left (LPS)
S       : slices of one patient that reach the network, feet to head
B       : patients in a batch
N       : slices in a batch of the encoder
C       : channels
F       : features of the encoder's trunk after pooling (1280 for the EfficientNets)
E       : slice embedding (256)
K       : time bins up to the horizon (24 monthly bins); K + 1 with the survivor bin
M       : members of an ensemble

Units: HU for intensities, mm for lengths, months of 30.4375 days for times. Spacings and sizes are in (D, H, W) order.
"""
