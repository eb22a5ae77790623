"""The colours of all pictures: those of Okabe & Ito, which people who see few colours tell apart."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
